// The forward pass of a decoder (decoder.hpp says what it computes). Results are bit-identical for any number of
// threads and any division of the tokens between calls.
#pragma once
#include <algorithm>
#include <array>
#include <blockquant/activations.hpp>
#include <blockquant/ops.hpp>
#include <functional>
#include <initializer_list>
#include <span>
#include <string_view>
#include <vector>

#include "decoder.hpp"
#include "kv_cache.hpp"

namespace bq_llm {

// Tokens that follow those of a sequence in the cache. A call may hold one part of each of several sequences.
struct batch_part {
  int sequence = 0;
  std::span<const int> tokens;
  // How many of the last tokens go through all of the last layer: of the others, later tokens need its keys and values
  // only.
  std::size_t wanted = all_tokens;

  static constexpr std::size_t all_tokens = static_cast<std::size_t>(-1);
  std::size_t outputs() const { return std::min(wanted, tokens.size()); }
};

struct evaluator_options {
  bq::tier tier = bq::tier::exact;
  bq::executor* threads = nullptr;
  // Called with the name of each weight and the activations [tokens, cols] that it is about to be multiplied with.
  std::function<void(std::string_view weight, std::span<const float> x, std::int64_t tokens)> observe = {};
};

// One thread at a time may use an evaluator; its buffers stay from call to call.
class evaluator {
 public:
  evaluator(const decoder& model, const evaluator_options& options) : model_(model), options_(options) {}

  // Runs the tokens through all layers and counts them in the cache. Returns the last norm's output [wanted tokens
  // of all parts, embedding], valid until the next call. Throws errc::out_of_range (an id that is no token, a full
  // cache), and as kv_cache::write; the cache then holds what it held before.
  std::span<const float> run(std::span<const batch_part> batch, kv_cache& cache);

  // Logits [rows, vocabulary] of some rows of what run() returned.
  void logits(std::span<const float> hidden, std::span<float> out);

 private:
  using floats = std::vector<float>;
  void check(std::span<const batch_part> batch, const kv_cache& cache) const;
  struct token_rows {
    std::span<float>* of;
    std::int64_t width;
  };
  std::array<token_rows, 9> rows();
  void divide_memory();
  void embed(std::span<const batch_part> batch);
  void keep_wanted(std::span<const batch_part> batch);
  void attend(std::size_t layer, const bq::activations::writer& write_x, std::span<const batch_part> batch,
              kv_cache& cache);
  void feed_forward(std::size_t layer, const bq::activations::writer& write_x, std::span<const batch_part> batch,
                    const kv_cache& cache);
  std::span<const bq::expected_read> reads_before(std::size_t layer, std::span<const batch_part> batch,
                                                  const kv_cache& cache);
  bq::activations::writer added_and_normalised(const floats& post_norm, const floats& norm);
  struct layer_product {
    const linear* w;
    std::span<float> y;
  };
  void multiply(std::span<const float> x, const bq::activations::writer& write,
                std::initializer_list<layer_product> products, std::span<const bq::expected_read> next);
  bq::ops_options ops() const { return {.threads = options_.threads, .isa = isa_}; }
  bq::ops_options ops_of_task() const { return {.isa = isa_}; }
  bq::matmul_options products_options() {
    return {.tier = options_.tier, .threads = options_.threads, .isa = isa_, .memory = &memory_};
  }

  const decoder& model_;
  const evaluator_options options_;
  const std::string_view isa_ = bq::chosen_isa();  // asked for once, not by every operation
  std::int64_t tokens_ = 0;
  std::span<float> h_, x_, q_, k_, v_, attended_, gate_, up_, out_;  // [tokens_, width], in memory_of_rows_
  floats memory_of_rows_;
  bq::rope_table rope_, local_rope_;
  bq::activations prepared_;
  std::vector<bq::projection> projections_;
  std::vector<bq::expected_read> reads_;
  std::vector<bq::type> types_;
  bq::workspace memory_;
};

}  // namespace bq_llm
