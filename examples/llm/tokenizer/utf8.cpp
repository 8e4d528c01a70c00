#include "tokenizer/utf8.hpp"

#include <algorithm>

namespace bq_llm {
namespace {

constexpr std::uint32_t replacement = 0xFFFD, largest = 0x10FFFF;

std::size_t announced_bytes(unsigned char first) {
  if (first < 0x80) return 1;
  if (first < 0xC0) return 0;
  if (first < 0xE0) return 2;
  if (first < 0xF0) return 3;
  return first < 0xF8 ? 4 : 0;
}

bool continues(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

struct sequence {
  std::uint32_t value;
  bool is_whole;  // every byte but the first continues it
};

sequence read_sequence(const char* from, std::size_t bytes) {
  sequence read{static_cast<unsigned char>(*from) & (0x7Fu >> bytes), true};
  for (std::size_t i = 1; i < bytes; ++i) {
    read.value = read.value << 6 | (static_cast<unsigned char>(from[i]) & 0x3Fu);
    read.is_whole = read.is_whole && continues(from[i]);
  }
  return read;
}

bool is_scalar_value(std::uint32_t value, std::size_t bytes) {
  constexpr std::uint32_t shortest[] = {0, 0, 0x80, 0x800, 0x10000};
  return value >= shortest[bytes] && value <= largest && (value < 0xD800 || value > 0xDFFF);
}

// True when bytes can follow `text`, one or more bytes of a sequence that is not complete.
bool has_completion(std::string_view text, std::size_t bytes) {
  std::string low(text), high(text);
  low.resize(bytes, '\x80');
  high.resize(bytes, '\xBF');
  const std::uint32_t from = decode_utf8(low).value, to = decode_utf8(high).value;
  return is_scalar_value(from, bytes) || is_scalar_value(to, bytes) || (from < 0xD800 && to > 0xDFFF);
}

}  // namespace

code_point decode_utf8(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  const std::size_t bytes = announced_bytes(first);
  if (bytes == 1) return {first, 1};
  if (bytes == 0 || bytes > text.size()) return {replacement, 1};
  const sequence read = read_sequence(text.data(), bytes);
  return read.is_whole && read.value <= largest ? code_point{read.value, bytes} : code_point{replacement, 1};
}

void append_utf8(std::string& out, std::uint32_t value) {
  const auto tail = [&](int shift) { out += static_cast<char>(0x80 | (value >> shift & 0x3F)); };
  if (value < 0x80) {
    out += static_cast<char>(value);
  } else if (value < 0x800) {
    out += static_cast<char>(0xC0 | value >> 6);
    tail(0);
  } else if (value < 0x10000) {
    out += static_cast<char>(0xE0 | value >> 12);
    tail(6);
    tail(0);
  } else {
    out += static_cast<char>(0xF0 | value >> 18);
    tail(12);
    tail(6);
    tail(0);
  }
}

std::string repaired_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const code_point next = decode_utf8(text);
    append_utf8(out, next.value);
    text.remove_prefix(next.bytes);
  }
  return out;
}

bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto first = static_cast<unsigned char>(text[i]);
    const std::size_t bytes = announced_bytes(first);
    if (bytes != 1) {
      if (bytes == 0 || bytes > text.size() - i) return false;
      const sequence read = read_sequence(&text[i], bytes);
      if (!read.is_whole || !is_scalar_value(read.value, bytes)) return false;
    }
    i += bytes;
  }
  return true;
}

std::size_t unfinished_utf8(std::string_view text) {
  for (std::size_t n = 1; n <= std::min<std::size_t>(3, text.size()); ++n) {
    const std::string_view tail = text.substr(text.size() - n);
    if (continues(tail[0])) continue;
    const std::size_t bytes = announced_bytes(static_cast<unsigned char>(tail[0]));
    return bytes > n && has_completion(tail, bytes) ? n : 0;
  }
  return 0;
}

}  // namespace bq_llm
