#include "conversation.hpp"

#include <blockquant/error.hpp>

#include "program/text_file.hpp"

namespace bq_run {

namespace {

constexpr std::string_view key = "tokenizer.chat_template";

std::string piece(const bq_llm::tokenizer& tokenizer, std::optional<int> id) {
  return id ? tokenizer.piece(*id) : std::string();
}

bq_llm::chat_template template_of(const bq_llm::language_model& model, const std::string& file) {
  const bq_llm::tokenizer& t = model.tokenizer;
  if (!file.empty()) {
    return bq_llm::chat_template(bq_program::read_file(file), piece(t, t.bos()), piece(t, t.eos()));
  }
  const auto& metadata = model.file.gguf().metadata();
  if (!metadata.find(key)) {
    throw bq::error({.code = bq::errc::missing_key,
                     .message = "this model has no chat template",
                     .file = model.file.gguf().shards().front().path,
                     .subject = std::string(key),
                     .advice = "models that were not trained to chat continue texts: leave --chat away; or name a "
                               "template with --chat-template"});
  }
  return bq_llm::chat_template::from(metadata, t);
}

}  // namespace

conversation::conversation(const bq_llm::language_model& model, const std::string& template_file, std::string system)
    : tokenizer_(model.tokenizer), template_(template_of(model, template_file)), system_(std::move(system)) {
  restart();
}

void conversation::restart() {
  messages_.clear();
  if (!system_.empty()) messages_.push_back({"system", system_});
}

void conversation::set_system(std::string text) {
  system_ = std::move(text);
  restart();
}

bool conversation::take_back_answer() {
  if (messages_.empty() || messages_.back().role != "assistant") return false;
  take_back();
  return true;
}

std::vector<int> conversation::prompt_ids() const {
  const std::string text = template_.render(messages_, true);
  const std::string bos = piece(tokenizer_, tokenizer_.bos());
  return tokenizer_.encode(text, bos.empty() || !text.starts_with(bos), true);
}

}  // namespace bq_run
