// A loaded model with its cache: what was evaluated once is not evaluated again while the text goes on from there.
#pragma once
#include <blockquant/parallel.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "evaluation/language_model.hpp"
#include "interrupt.hpp"
#include "model/evaluator.hpp"
#include "model/interleaved_weights.hpp"
#include "program/compute_options.hpp"

namespace bq_run {

struct session_options : bq_program::compute_options {
  std::string model;
  std::int64_t context = -1;  // tokens; 0: what the model was trained for; negative: that, but at most usual_context
  bool no_repack = false;     // weights stay in the mapped file
};

constexpr std::int64_t usual_context = 8192;

// Milliseconds since it was made.
class stopwatch {
 public:
  double ms() const {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

class session {
 public:
  // Throws as bq_llm::language_model and bq_llm::kv_cache.
  explicit session(const session_options& options);

  const bq_llm::language_model& language() const noexcept { return language_; }
  const bq_llm::tokenizer& tokenizer() const noexcept { return language_.tokenizer; }
  const bq_llm::kv_cache& cache() const noexcept { return cache_; }
  std::int64_t context() const noexcept { return cache_.context(); }
  int threads() const noexcept { return threads_.concurrency(); }
  double load_ms() const noexcept { return load_ms_; }

  // Makes the cache hold exactly these tokens, of which those that it holds already are not evaluated again, and
  // computes the logits behind the last one. Ctrl-C ends it early: the result is then false, and there are no logits.
  // Throws errc::invalid_argument for no tokens, errc::out_of_range for more than the context.
  bool evaluate(std::span<const int> ids, const interrupt& stop);
  std::size_t evaluated() const noexcept { return evaluated_; }  // tokens, by the last call of evaluate()
  std::span<const float> logits() const noexcept { return logits_; }
  void forget();  // empties the cache

 private:
  const stopwatch loading_;
  bq::thread_pool threads_;
  std::optional<bq_llm::interleaved_weights> weights_;
  bq_llm::language_model language_;
  bq_llm::evaluator evaluator_;
  bq_llm::kv_cache cache_;
  std::vector<int> ids_;  // in the cache
  std::vector<float> logits_;
  std::size_t evaluated_ = 0;
  double load_ms_ = 0;
};

}  // namespace bq_run
