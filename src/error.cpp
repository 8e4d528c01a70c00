// The text of errors. One line whatever the fields hold: texts from files are made printable here, so that no caller
// can forget it; info() keeps them as they are.
#include "blockquant/error.hpp"

#include <array>
#include <utility>

namespace bq {

namespace {

// Length of the UTF-8 character at the start of `text`, or 0 if it is not one (RFC 3629: no overlong forms, no
// surrogates).
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) -> unsigned {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
  };
  const auto continues = [&](std::size_t i) { return (byte(i) & 0xc0) == 0x80; };
  const unsigned b0 = byte(0), b1 = byte(1);
  if (b0 < 0x80) return 1;
  if (b0 >= 0xc2 && b0 <= 0xdf) return continues(1) ? 2 : 0;
  if (b0 >= 0xe0 && b0 <= 0xef) {
    const bool range = b0 == 0xe0 ? b1 >= 0xa0 : b0 == 0xed ? b1 < 0xa0 : true;
    return range && continues(1) && continues(2) ? 3 : 0;
  }
  if (b0 >= 0xf0 && b0 <= 0xf4) {
    const bool range = b0 == 0xf0 ? b1 >= 0x90 : b0 == 0xf4 ? b1 < 0x90 : true;
    return range && continues(1) && continues(2) && continues(3) ? 4 : 0;
  }
  return 0;
}

// Characters that move the cursor, end the line, or reverse the order of what follows.
bool is_control(std::string_view character) {
  const auto byte = [&](std::size_t i) -> unsigned { return static_cast<unsigned char>(character[i]); };
  switch (character.size()) {
    case 1:
      return byte(0) < 0x20 || byte(0) == 0x7f;
    case 2:
      return byte(0) == 0xc2 && byte(1) < 0xa0;  // U+0080 .. U+009F
    case 3: {
      if (byte(0) != 0xe2) return false;
      if (byte(1) == 0x80) return byte(2) >= 0xa8 && byte(2) <= 0xae;  // U+2028 .. U+202E
      return byte(1) == 0x81 && byte(2) >= 0xa6 && byte(2) <= 0xa9;    // U+2066 .. U+2069
    }
    default:
      return false;
  }
}

void append_escaped(std::string& out, std::string_view bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  for (const char c : bytes) {
    const auto b = static_cast<unsigned char>(c);
    out += {'\\', 'x', digits[b >> 4], digits[b & 15]};
  }
}

std::string one_line(const error_info& e) {
  constexpr std::size_t enough = 4096;
  std::string line;
  for (const std::string* part : {&e.file, &e.subject}) {
    if (!part->empty()) line += printable(*part, enough) + ": ";
  }
  line += printable(e.message, enough);
  if (e.offset) line += " at byte " + std::to_string(*e.offset);
  const char* separator = ": ";
  for (const auto& [label, text] : {std::pair{"expected ", &e.expected}, std::pair{"found ", &e.found}}) {
    if (text->empty()) continue;
    line += separator;
    line += label + printable(*text, enough);
    separator = ", ";
  }
  if (!e.advice.empty()) line += "; " + printable(e.advice, enough);
  return line;
}

}  // namespace

std::string_view name(errc code) noexcept {
  switch (code) {
    case errc::invalid_argument:
      return "invalid_argument";
    case errc::unknown_type:
      return "unknown_type";
    case errc::unsupported_type:
      return "unsupported_type";
    case errc::bad_shape:
      return "bad_shape";
    case errc::not_finite:
      return "not_finite";
    case errc::out_of_range:
      return "out_of_range";
    case errc::device:
      return "device";
    case errc::io:
      return "io";
    case errc::not_a_file:
      return "not_a_file";
    case errc::disk_full:
      return "disk_full";
    case errc::same_file:
      return "same_file";
    case errc::file_exists:
      return "file_exists";
    case errc::file_changed:
      return "file_changed";
    case errc::not_gguf:
      return "not_gguf";
    case errc::bad_byte_order:
      return "bad_byte_order";
    case errc::bad_version:
      return "bad_version";
    case errc::truncated:
      return "truncated";
    case errc::bad_count:
      return "bad_count";
    case errc::bad_string:
      return "bad_string";
    case errc::bad_key:
      return "bad_key";
    case errc::duplicate_key:
      return "duplicate_key";
    case errc::bad_value_type:
      return "bad_value_type";
    case errc::bad_value:
      return "bad_value";
    case errc::missing_key:
      return "missing_key";
    case errc::wrong_value_type:
      return "wrong_value_type";
    case errc::bad_alignment:
      return "bad_alignment";
    case errc::bad_tensor_name:
      return "bad_tensor_name";
    case errc::duplicate_tensor:
      return "duplicate_tensor";
    case errc::bad_dimensions:
      return "bad_dimensions";
    case errc::removed_type:
      return "removed_type";
    case errc::bad_offset:
      return "bad_offset";
    case errc::overlapping:
      return "overlapping";
    case errc::trailing_data:
      return "trailing_data";
    case errc::bad_shard:
      return "bad_shard";
    case errc::bad_data:
      return "bad_data";
    case errc::damaged:
      return "damaged";
    case errc::bad_importance:
      return "bad_importance";
    case errc::bad_recipe:
      return "bad_recipe";
  }
  return "unknown";
}

error::error(error_info info) : std::runtime_error(one_line(info)), info_(std::move(info)) {}

std::string printable(std::string_view text, std::size_t max_bytes) {
  std::string out;
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t length = utf8_length(text.substr(at));
    const std::string_view character = text.substr(at, length ? length : 1);
    if (at + character.size() > max_bytes) break;
    if (length == 0 || is_control(character))
      append_escaped(out, character);
    else
      out += character;
    at += character.size();
  }
  if (at < text.size()) out += "...";
  return out;
}

}  // namespace bq
