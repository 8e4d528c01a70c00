#include "tokenizer/metadata_values.hpp"

namespace bq_llm {
namespace {

using bq::gguf::value_type;

[[noreturn]] void throw_wrong_type(std::string_view key, std::string_view expected, const bq::gguf::value& found) {
  std::string type(bq::gguf::name(found.type()));
  if (found.type() == value_type::array) type += " of " + std::string(bq::gguf::name(found.element_type()));
  throw bq::error({.code = bq::errc::wrong_value_type,
                   .message = "a value of the tokeniser has the wrong type",
                   .subject = std::string(key),
                   .expected = std::string(expected),
                   .found = type});
}

}  // namespace

const bq::gguf::value* find_array(const bq::gguf::metadata& metadata, std::string_view key, bool of_strings,
                                  std::string_view expected) {
  const bq::gguf::value* value = metadata.find(key);
  if (!value) return nullptr;
  const bool is_number = value->element_type() != value_type::string && value->element_type() != value_type::boolean;
  if (value->type() != value_type::array || !(of_strings ? value->element_type() == value_type::string : is_number)) {
    throw_wrong_type(key, expected, *value);
  }
  return value;
}

const bq::gguf::value& require_array(const bq::gguf::metadata& metadata, std::string_view key, bool of_strings,
                                     std::string_view expected) {
  const bq::gguf::value* value = find_array(metadata, key, of_strings, expected);
  if (!value) {
    throw bq::error({.code = bq::errc::missing_key,
                     .message = "the file has no complete tokeniser",
                     .subject = std::string(key),
                     .expected = std::string(expected)});
  }
  return *value;
}

std::optional<bool> find_bool(const bq::gguf::metadata& metadata, std::string_view key) {
  const bq::gguf::value* value = metadata.find(key);
  if (!value) return std::nullopt;
  if (!value->as_bool() || value->type() == value_type::array) throw_wrong_type(key, "bool", *value);
  return value->as_bool();
}

std::optional<std::string_view> find_string(const bq::gguf::metadata& metadata, std::string_view key) {
  const bq::gguf::value* value = metadata.find(key);
  if (!value) return std::nullopt;
  if (value->type() != value_type::string) throw_wrong_type(key, "str", *value);
  return value->as_string();
}

std::optional<int> find_id(const bq::gguf::metadata& metadata, std::string_view key, int size) {
  const bq::gguf::value* value = metadata.find(key);
  if (!value) return std::nullopt;
  const bool scalar = value->type() != value_type::array;
  if (scalar && value->as_int() && *value->as_int() >= 0 && *value->as_int() < size) {
    return static_cast<int>(*value->as_int());
  }
  if (!scalar || (!value->as_int() && !value->as_uint())) throw_wrong_type(key, "a token's id", *value);
  throw bq::error({.code = bq::errc::out_of_range,
                   .message = "an id that is no token",
                   .subject = std::string(key),
                   .expected = "below " + std::to_string(size),
                   .found = value->as_int() ? std::to_string(*value->as_int()) : std::to_string(*value->as_uint())});
}

}  // namespace bq_llm
