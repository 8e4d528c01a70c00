#include "chat/chat_template.hpp"

#include <blockquant/error.hpp>
#include <stdexcept>

#include "chat/jinja/evaluator.hpp"
#include "chat/jinja/parser.hpp"

namespace bq_llm {
namespace {

constexpr std::string_view template_key = "tokenizer.chat_template";
constexpr std::size_t most_source_bytes = 1 << 20;

}  // namespace

struct chat_template::state {
  jinja::statements program;
  std::string bos, eos;
};

chat_template::chat_template(std::string_view source, std::string_view bos_token, std::string_view eos_token) {
  if (source.size() > most_source_bytes) {
    throw bq::error({.code = bq::errc::bad_recipe,
                     .message = "a chat template that is too long",
                     .subject = std::string(template_key),
                     .expected = "at most " + std::to_string(most_source_bytes) + " bytes",
                     .found = std::to_string(source.size())});
  }
  state_ = std::make_unique<const state>(state{jinja::parsed(source), std::string(bos_token), std::string(eos_token)});
}

chat_template chat_template::from(const bq::gguf::metadata& metadata, const tokenizer& tokens) {
  const auto text = [&](std::optional<int> id) { return id ? tokens.piece(*id) : std::string(); };
  return chat_template(metadata.require_string(template_key), text(tokens.bos()), text(tokens.eos()));
}

chat_template::chat_template(chat_template&&) noexcept = default;
chat_template& chat_template::operator=(chat_template&&) noexcept = default;
chat_template::~chat_template() = default;

std::string chat_template::render(std::span<const chat_message> messages, bool add_generation_prompt,
                                  const nlohmann::ordered_json& extra) const {
  auto list = nlohmann::ordered_json::array();
  for (const chat_message& each : messages) list.push_back({{"role", each.role}, {"content", each.content}});
  return render(list, add_generation_prompt, extra);
}

std::string chat_template::render(const nlohmann::ordered_json& messages, bool add_generation_prompt,
                                  const nlohmann::ordered_json& extra) const {
  jinja::entries variables = {
      {"bos_token", state_->bos}, {"eos_token", state_->eos}, {"add_generation_prompt", add_generation_prompt}};
  try {
    jinja::assign(variables, "messages", jinja::value::from(messages));
    for (const auto& [name, item] : extra.items()) jinja::assign(variables, name, jinja::value::from(item));
  } catch (const std::length_error& e) {
    throw bq::error({.code = bq::errc::out_of_range, .message = std::string("a conversation with ") + e.what()});
  }
  return jinja::rendered(state_->program, std::move(variables));
}

}  // namespace bq_llm
