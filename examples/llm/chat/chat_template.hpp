// Chat prompts as a model was trained on them: the file's own template (tokenizer.chat_template, Jinja2) applied to a
// conversation. The output is text for tokenizer::encode with parse_special, and without add_special when the template
// begins with the bos token itself.
//
// Templates are programs of whoever wrote the file: time, memory, recursion and output are bounded, and nothing outside
// the given values is reachable.
#pragma once
#include <blockquant/gguf.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

#include "tokenizer/tokenizer.hpp"

namespace bq_llm {

struct chat_message {
  std::string role;  // "system", "user", "assistant", "tool"
  std::string content;
};

// Cheap to move; rendering is thread safe.
class chat_template {
 public:
  // Parses a template. Throws errc::bad_recipe naming the line: broken syntax, or a construct that is not supported.
  explicit chat_template(std::string_view source, std::string_view bos_token = {}, std::string_view eos_token = {});
  // The template of a file, with the texts of its bos and eos tokens. Throws errc::missing_key when it has none.
  static chat_template from(const bq::gguf::metadata& metadata, const tokenizer& tokens);

  chat_template(chat_template&&) noexcept;
  chat_template& operator=(chat_template&&) noexcept;
  ~chat_template();

  // The prompt of a conversation; add_generation_prompt opens the assistant's next turn. `extra` holds further
  // variables
  // ("tools", "enable_thinking", ...). Throws errc::bad_recipe: the template raises an exception or breaks off, with
  // its message and line.
  std::string render(std::span<const chat_message> messages, bool add_generation_prompt,
                     const nlohmann::ordered_json& extra = nlohmann::ordered_json::object()) const;
  // The same for messages with more than role and content (tool calls, lists of parts): a JSON array of objects.
  std::string render(const nlohmann::ordered_json& messages, bool add_generation_prompt,
                     const nlohmann::ordered_json& extra = nlohmann::ordered_json::object()) const;

 private:
  struct state;
  std::unique_ptr<const state> state_;
};

}  // namespace bq_llm
