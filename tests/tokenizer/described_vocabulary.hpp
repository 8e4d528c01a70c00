// Small vocabularies for the tests, as the metadata of a GGUF file.
//
//   BPE            ids 0 to 255: the bytes in GPT-2's alphabet, in order of their values (so 'a' is 97), unless one is
//   left
//                  out; from 256 on one token for each merge; then what a test adds
//   SentencePiece  0 <unk>, 1 <s>, 2 </s>, 3 to 258 the byte tokens, then what a test adds, with its scores
#pragma once
#include <blockquant/gguf.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tokenizer_test {

// Token types as numbered in files.
constexpr std::int32_t normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6;

struct described_token {
  std::string text;
  std::int32_t type = normal;
  float score = 0;
};

// "LEFT RIGHT" in GPT-2's alphabet; the n-th one makes token 256 + n.
bq::gguf::metadata bpe_vocabulary(const std::vector<std::string>& merges,
                                  const std::vector<described_token>& added = {}, std::string_view pre = "gpt-2");

bq::gguf::metadata sentencepiece_vocabulary(const std::vector<described_token>& added);

constexpr int first_piece = 259;  // the id of the first token added to sentencepiece_vocabulary

}  // namespace tokenizer_test
