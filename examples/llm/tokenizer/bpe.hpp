// Byte-level BPE: the bytes of a word become one symbol each, then neighbours merge in the order of the file's merges
// (tokenizer.ggml.merges: "LEFT RIGHT", the first one going first).
#pragma once
#include <array>
#include <blockquant/gguf.hpp>
#include <string_view>
#include <vector>

#include "tokenizer/hash_tables.hpp"
#include "tokenizer/pre_tokenizer.hpp"
#include "tokenizer/vocabulary.hpp"

namespace bq_llm {

class bpe {
 public:
  // Throws as tokenizer::from. `tokens` must outlive this.
  bpe(const bq::gguf::metadata& metadata, const vocabulary& tokens);

  // Appends the ids of text without special tokens.
  void encode(std::string_view text, std::vector<int>& out) const;

  bool adds_bos() const { return splitter_.adds_bos(); }
  std::vector<unsigned char> missing_bytes() const;

 private:
  void read_merges(const bq::gguf::metadata& metadata);

  const vocabulary* tokens_;
  pre_tokenizer splitter_;
  std::array<int, 256> byte_tokens_;  // -1: none
  pair_table ranks_;                  // of two tokens: the place of their merge
  std::vector<int> results_;          // of each merge: the token
};

}  // namespace bq_llm
