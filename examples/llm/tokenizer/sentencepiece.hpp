// SentencePiece's unigram vocabulary as llama.cpp merges it: the characters of the text are the first symbols, and of
// all neighbours whose texts make up a token the pair with the highest score merges first. Characters that are no token
// become their bytes' tokens. Spaces are U+2581 inside.
#pragma once
#include <array>
#include <string_view>
#include <vector>

#include "tokenizer/vocabulary.hpp"

namespace bq_llm {

class sentencepiece {
 public:
  // Throws errc::missing_key for a vocabulary with neither tokens for all bytes nor an unknown token. `tokens` must
  // outlive this.
  explicit sentencepiece(const vocabulary& tokens);

  // Appends the ids of text without special tokens; `space_before`: as if it began with one more space.
  void encode(std::string_view text, bool space_before, std::vector<int>& out) const;

 private:
  const vocabulary* tokens_;
  std::array<int, 256> byte_tokens_;
};

}  // namespace bq_llm
