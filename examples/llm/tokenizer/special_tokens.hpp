// Finds the tokens that stand in text as they are spelled, before any other splitting: user-defined tokens, and control
// tokens where the caller asks for them. Longer texts go first, then those further left, as in llama.cpp.
#pragma once
#include <array>
#include <string_view>
#include <vector>

#include "tokenizer/vocabulary.hpp"

namespace bq_llm {

// A stretch of the text: one special token, or text between them.
struct fragment {
  std::string_view text;  // empty when it is a token
  int token;              // -1 when it is text
};

class special_tokens {
 public:
  explicit special_tokens(const vocabulary& tokens);

  // Time O(bytes * lengths), where `lengths` counts the different lengths of special tokens with the same first byte.
  std::vector<fragment> split(std::string_view text, bool parse_special) const;

 private:
  struct length_class {
    std::size_t bytes;
    std::array<bool, 256> starts;  // by first byte
  };
  // Splits at the tokens of one length.
  void split_text(std::string_view text, const length_class& length, bool parse_special,
                  std::vector<fragment>& out) const;

  const vocabulary* tokens_;
  std::vector<length_class> lengths_;  // longest first
};

}  // namespace bq_llm
