// The vocabulary of a GGUF file: texts, kinds and scores of the tokens, and the ids that play a part. What the keys
// leave open is settled as llama.cpp does, by the texts of tokens that many models share ("<|im_end|>" ends a turn).
//
//   tokenizer.ggml.tokens      strings: BPE in GPT-2's byte alphabet, SentencePiece with U+2581 for the space
//   tokenizer.ggml.token_type  numbers, see token_kind; absent: all normal
//   tokenizer.ggml.scores      numbers: SentencePiece's log probabilities
#pragma once
#include <array>
#include <blockquant/gguf.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/hash_tables.hpp"
#include "tokenizer/text_list.hpp"

namespace bq_llm {

enum class vocabulary_model { bpe, sentencepiece };

// As numbered in files.
enum class token_kind : unsigned char { undefined, normal, unknown, control, user_defined, unused, byte };

// Not movable: views and the table point into it.
class vocabulary {
 public:
  // Throws as tokenizer::from.
  vocabulary(const bq::gguf::metadata& metadata, vocabulary_model model);
  vocabulary(const vocabulary&) = delete;
  vocabulary& operator=(const vocabulary&) = delete;

  int size() const { return static_cast<int>(texts_.size()); }
  std::string_view text(int id) const { return texts_[static_cast<std::size_t>(id)]; }  // as stored
  std::string piece(int id) const;                                                      // as shown
  token_kind kind(int id) const { return kinds_[static_cast<std::size_t>(id)]; }
  float score(int id) const { return scores_.empty() ? 0.0f : scores_[static_cast<std::size_t>(id)]; }
  bool is_control(int id) const { return kind(id) == token_kind::control || kind(id) == token_kind::unknown; }
  // Found in text before all other splitting.
  bool is_special(int id) const { return is_control(id) || kind(id) == token_kind::user_defined; }
  // Spaces after it, or before it, belong to it.
  bool strips_right(int id) const {
    return id < static_cast<int>(strips_right_.size()) && strips_right_[static_cast<std::size_t>(id)];
  }
  bool strips_left(int id) const { return strips_left_ == id; }

  std::optional<int> find(std::string_view text) const { return table_.find(text); }
  std::size_t longest() const { return longest_; }  // bytes of the longest text

  std::optional<int> bos, eos, eot, unknown;
  bool ends_generation(int id) const { return ends_[static_cast<std::size_t>(id)]; }

 private:
  void read_tokens(const bq::gguf::metadata& metadata);
  void read_kinds(const bq::gguf::metadata& metadata);
  void read_scores(const bq::gguf::metadata& metadata);
  void assign_roles(const bq::gguf::metadata& metadata);
  void assign_stripping(const bq::gguf::metadata& metadata);
  void check_byte_tokens() const;
  std::optional<int> first_of(std::span<const std::string_view> names) const;
  void end_with(std::optional<int> id);

  vocabulary_model model_;
  text_list texts_;
  std::vector<token_kind> kinds_;
  std::vector<float> scores_;
  std::vector<bool> ends_, strips_right_;
  int strips_left_ = -1;
  std::size_t longest_ = 0;
  text_table table_;
};

// The byte that a text such as "<0x0A>" stands for.
std::optional<unsigned char> byte_named(std::string_view text);
// Its inverse.
std::string byte_name(unsigned char byte);

}  // namespace bq_llm
