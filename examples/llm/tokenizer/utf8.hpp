// UTF-8 as the tokenisers see it. llama.cpp's decoder is lenient (overlong forms and surrogates pass), and token ids
// depend on that, so this is its rule and no library's: the first byte says how many follow, those must be 10xxxxxx,
// and a byte that starts no such sequence stands for U+FFFD.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace bq_llm {

struct code_point {
  std::uint32_t value;
  std::size_t bytes;  // read: 1 for a byte that starts no sequence, whose value is U+FFFD
};

code_point decode_utf8(std::string_view text);  // its first one; `text` is not empty
void append_utf8(std::string& out, std::uint32_t value);

// `text` with every sequence in its shortest form and U+FFFD for each byte that belongs to none.
std::string repaired_utf8(std::string_view text);

// Strict, by RFC 3629.
bool is_utf8(std::string_view text);

// Bytes at the end of `text` that begin a character (RFC 3629) which more bytes could complete: 0 to 3.
std::size_t unfinished_utf8(std::string_view text);

}  // namespace bq_llm
