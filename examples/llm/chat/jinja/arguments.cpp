// Arguments of calls, and the conversions that built-in functions ask for.
#include <algorithm>
#include <stdexcept>

#include "chat/jinja/builtins.hpp"
#include "tokenizer/utf8.hpp"

namespace bq_llm::jinja {

void bind_arguments(const arguments& given, std::span<const std::string_view> names, std::span<const value*> out) {
  if (given.placed.size() > names.size()) {
    throw std::invalid_argument("takes at most " + std::to_string(names.size()) + " arguments");
  }
  for (std::size_t i = 0; i < given.placed.size(); ++i) out[i] = &given.placed[i];
  for (const auto& [name, item] : given.named) {
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) throw std::invalid_argument("takes no argument '" + name + "'");
    out[static_cast<std::size_t>(found - names.begin())] = &item;
  }
}

const std::string& text_of(const value& v) {
  if (!v.as_string()) throw std::invalid_argument("a string is needed, not " + std::string(v.type_name()));
  return *v.as_string();
}

std::int64_t integer_of(const value& v) {
  if (!v.is_integer() && !v.as_bool()) {
    throw std::invalid_argument("an integer is needed, not " + std::string(v.type_name()));
  }
  return v.integer();
}

bool truthy_or(const value* v, bool otherwise) { return v ? v->truthy() : otherwise; }

void require_room(std::size_t bytes, std::size_t times) {
  if (times > 0 && bytes > most_weight / times) throw std::length_error("a text that is too long");
}

std::vector<std::string_view> characters(std::string_view text) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    const std::size_t bytes = decode_utf8(text).bytes;
    out.push_back(text.substr(0, bytes));
    text.remove_prefix(bytes);
  }
  return out;
}

list items_of(const value& v) {
  list out;
  if (v.as_list()) return *v.as_list();
  if (v.as_dict()) {
    for (const auto& [key, item] : *v.as_dict()) out.push_back(key);
  } else if (v.as_string()) {
    for (const std::string_view c : characters(*v.as_string())) out.emplace_back(c);
  } else if (!v.is_undefined()) {
    throw std::invalid_argument("a value of type " + std::string(v.type_name()) + " has no items");
  }
  return out;
}

}  // namespace bq_llm::jinja
