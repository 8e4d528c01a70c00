// The forward pass of a decoder (decoder.hpp says what it computes). Results are bit-identical for any number of
// threads and any division of the tokens between calls.
#pragma once
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

  // Runs the tokens through all layers and counts them in the cache. Returns the last norm's output [tokens of all
  // parts, embedding], valid until the next call. Throws errc::out_of_range (an id that is no token, a full cache), and
  // as kv_cache::write; the cache then holds what it held before.
  std::span<const float> run(std::span<const batch_part> batch, kv_cache& cache);

  // Logits [rows, vocabulary] of some rows of what run() returned.
  void logits(std::span<const float> hidden, std::span<float> out);

 private:
  using floats = std::vector<float>;
  void check(std::span<const batch_part> batch, const kv_cache& cache) const;
  void resize();
  void embed(std::span<const batch_part> batch);
  void attend(std::size_t layer, const bq::activations::writer& write_x, std::span<const batch_part> batch,
              kv_cache& cache);
  void feed_forward(const decoder_layer& l, const bq::activations::writer& write_x);
  bq::activations::writer added_and_normalised(const floats& post_norm, const floats& norm);
  struct layer_product {
    const linear* w;
    std::span<float> y;
  };
  void multiply(std::span<const float> x, const bq::activations::writer& write,
                std::initializer_list<layer_product> products);
  bq::ops_options ops() const { return {.threads = options_.threads}; }
  bq::matmul_options products_options() {
    return {.tier = options_.tier, .threads = options_.threads, .memory = &memory_};
  }

  const decoder& model_;
  const evaluator_options options_;
  std::int64_t tokens_ = 0;
  floats h_, x_, q_, k_, v_, attended_, gate_, up_, out_;
  bq::rope_table rope_, local_rope_;
  bq::activations prepared_;
  std::vector<bq::projection> projections_;
  bq::workspace memory_;
};

}  // namespace bq_llm
