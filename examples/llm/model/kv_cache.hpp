// Keys and values of the tokens seen so far, of several sequences, in any type that can be written: K and V each have
// their own. Row p of a sequence's layer is position p: [context, kv_heads * head_dim].
#pragma once
#include <blockquant/ops.hpp>
#include <blockquant/types.hpp>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "decoder.hpp"

namespace bq_llm {

struct kv_cache_options {
  bq::type keys = bq::type::f16, values = bq::type::f16;
  std::int64_t context = 0;  // positions of a sequence; 0: the model's
  int sequences = 1;
};

class kv_cache {
 public:
  // Throws errc::bad_shape (a type whose blocks do not divide head_dim), errc::unknown_type, errc::invalid_argument
  // (context or sequences below 1), std::bad_alloc. Memory is taken from the system when it is first written.
  kv_cache(const decoder& model, const kv_cache_options& options);

  std::int64_t context() const noexcept { return options_.context; }
  std::int64_t length(int sequence) const { return length_.at(static_cast<std::size_t>(sequence)); }
  std::uint64_t bytes() const noexcept;  // of all sequences, full

  // Forgets all but the first `length` tokens of a sequence.
  void truncate(int sequence, std::int64_t length);

  // Makes the first `length` tokens of a sequence, at most all it has, those of another one.
  void copy(int from, int to, std::int64_t length);

  // For the forward pass: writes keys and values [tokens, kv_heads * head_dim] behind a sequence's tokens, without
  // counting them yet; what attention reads then; and the counting, after all layers. write() throws errc::not_finite,
  // errc::out_of_range naming the layer.
  void write(std::size_t layer, int sequence, std::span<const float> keys, std::span<const float> values,
             bq::executor* threads);
  bq::attention_sequence read(std::size_t layer, int sequence, std::int64_t tokens) const;
  void advance(int sequence, std::int64_t tokens);

 private:
  struct store {
    bq::type id;
    std::uint64_t row_bytes;
    std::unique_ptr<std::byte[]> bytes;
  };
  std::span<std::byte> rows(const store& s, std::size_t layer, int sequence, std::int64_t first, std::int64_t n) const;

  kv_cache_options options_;
  std::int64_t cols_;
  std::size_t layers_;
  store keys_, values_;
  std::vector<std::int64_t> length_;
};

}  // namespace bq_llm
