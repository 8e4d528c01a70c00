// The messages of a chat, and the prompt that the model's template makes of them.
#pragma once
#include <string>
#include <vector>

#include "chat/chat_template.hpp"
#include "evaluation/language_model.hpp"

namespace bq_run {

class conversation {
 public:
  // `template_file` replaces the model's own template, and `system` begins the conversation, unless they are empty.
  // Throws errc::missing_key for a model without a template, and as bq_llm::chat_template.
  conversation(const bq_llm::language_model& model, const std::string& template_file, std::string system);

  void add_user(std::string text) { messages_.push_back({"user", std::move(text)}); }
  void add_assistant(std::string text) { messages_.push_back({"assistant", std::move(text)}); }
  void take_back() { messages_.pop_back(); }  // the last message
  bool take_back_answer();                    // when the last message is one
  void restart();
  void set_system(std::string text);  // begins anew

  // Ids of the whole conversation and the beginning of the next answer. Throws as bq_llm::chat_template::render.
  std::vector<int> prompt_ids() const;

 private:
  const bq_llm::tokenizer& tokenizer_;
  bq_llm::chat_template template_;
  std::string system_;
  std::vector<bq_llm::chat_message> messages_;
};

}  // namespace bq_run
