// GPT-2's printable stand-ins for bytes, in which byte-level BPE vocabularies are written: the printable characters of
// Latin-1 stand for themselves, the other 68 bytes become U+0100, U+0101, ... in order (the space is U+0120).
#pragma once
#include <array>
#include <string>
#include <string_view>

namespace bq_llm {

// The UTF-8 of each byte's character.
const std::array<std::string, 256>& byte_alphabet();

std::string to_alphabet(std::string_view bytes);

// The bytes that `text` stands for. Characters outside the alphabet stay as they are: some vocabularies list added
// tokens in plain text.
std::string from_alphabet(std::string_view text);

}  // namespace bq_llm
