// The pre-tokenisers by name, as llama.cpp's table has them. `\s` stands for Unicode's White_Space inside a class only:
// it is spelled out when an expression is compiled, because every regex library has its own idea of it. Repetitions
// that end an expression are possessive where that changes no match, so that no text takes more than linear time.
#pragma once
#include <array>
#include <string_view>

namespace bq_llm {

struct pre_tokenizer_rule {
  std::array<std::string_view, 6> expressions;  // those that are not empty, in order
  bool whole_words = false;                     // see pre_tokenizer
  bool adds_bos = false;
};

// Null when the name is unknown.
const pre_tokenizer_rule* find_pre_tokenizer(std::string_view name);

}  // namespace bq_llm
