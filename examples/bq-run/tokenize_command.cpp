// bq-run tokenize: the token ids of a text.
#include <fmt/format.h>

#include <blockquant/error.hpp>
#include <blockquant/gguf.hpp>
#include <nlohmann/json.hpp>

#include "program/text_file.hpp"
#include "request.hpp"
#include "tokenizer/tokenizer.hpp"

namespace bq_run {

int tokenize_command(const tokenize_request& r) {
  // Every byte counts here, the newline at the end too.
  const std::string text = r.file ? bq_program::read_file(*r.file) : prompt_text(r.text, {});
  const auto tokenizer = bq_llm::tokenizer::from(bq::gguf::model::open(r.model).metadata());
  const std::vector<int> ids = tokenizer.encode(text, !r.no_bos, !r.no_special);
  if (r.json) {
    fmt::print("{}\n", nlohmann::json(ids).dump());
    return 0;
  }
  for (const int id : ids) fmt::print("{:>7}  '{}'\n", id, bq::printable(tokenizer.piece(id), std::string::npos));
  return 0;
}

}  // namespace bq_run
