#include "tokenizer/byte_alphabet.hpp"

#include <cstdint>

#include "tokenizer/utf8.hpp"

namespace bq_llm {
namespace {

constexpr std::uint32_t first_stand_in = 0x100;
constexpr std::size_t characters = first_stand_in + 68;

constexpr bool stands_for_itself(std::uint32_t byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD && byte <= 0xFF);
}

// The byte of each character, -1 where there is none.
constexpr std::array<int, characters> make_bytes() {
  std::array<int, characters> bytes{};
  std::size_t next = first_stand_in;
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    bytes[byte] = -1;
    bytes[stands_for_itself(byte) ? byte : next++] = static_cast<int>(byte);
  }
  return bytes;
}
constexpr std::array<int, characters> bytes_of = make_bytes();

std::array<std::string, 256> make_alphabet() {
  std::array<std::string, 256> alphabet;
  for (std::uint32_t character = 0; character < characters; ++character) {
    if (bytes_of[character] >= 0) append_utf8(alphabet[static_cast<std::size_t>(bytes_of[character])], character);
  }
  return alphabet;
}

}  // namespace

const std::array<std::string, 256>& byte_alphabet() {
  static const std::array<std::string, 256> alphabet = make_alphabet();
  return alphabet;
}

std::string to_alphabet(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) text += byte_alphabet()[static_cast<unsigned char>(byte)];
  return text;
}

std::string from_alphabet(std::string_view text) {
  std::string bytes;
  while (!text.empty()) {
    const code_point next = decode_utf8(text);
    const int byte = next.value < characters ? bytes_of[next.value] : -1;
    if (byte >= 0) {
      bytes += static_cast<char>(byte);
    } else {
      bytes += text.substr(0, next.bytes);
    }
    text.remove_prefix(next.bytes);
  }
  return bytes;
}

}  // namespace bq_llm
