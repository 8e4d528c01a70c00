// bq-run -m MODEL -p PROMPT: continues a text.
#include <fmt/format.h>

#include <blockquant/error.hpp>
#include <random>

#include "answer.hpp"
#include "program/text_file.hpp"
#include "request.hpp"

namespace bq_run {

std::string prompt_text(const std::optional<std::string>& text, const std::optional<std::string>& file) {
  if (text) return *text;
  if (file) return bq_program::read_text(*file);
  throw bq::error({.code = bq::errc::invalid_argument,
                   .message = "no text was given",
                   .advice = "-p TEXT, -f FILE or -f - for standard input"});
}

int complete_command(const request& r) {
  const std::string prompt = prompt_text(r.prompt, r.prompt_file);
  const interrupt stop;
  answerer answers(r, stop);
  const bq_llm::tokenizer& tokenizer = answers.model().tokenizer();
  std::vector<int> ids = tokenizer.encode(prompt, true, true);
  if (ids.empty() && tokenizer.bos()) ids.push_back(*tokenizer.bos());
  if (r.echo && !r.json) fmt::print("{}", prompt);
  return answers.answer(std::move(ids)).reason == stop_reason::interrupted ? interrupted_exit_code : 0;
}

}  // namespace bq_run
