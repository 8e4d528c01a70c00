// A text cut into windows of equal length, as perplexity is measured: windows do not overlap, the first token of each
// is replaced by bos where the tokeniser puts bos before text, and the second half of each is scored. With W tokens in
// a window, positions W / 2 ... W - 2 predict the tokens after them.
#pragma once
#include <blockquant/matmul.hpp>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/evaluator.hpp"
#include "tokenizer/tokenizer.hpp"

namespace bq_llm {

struct window_set {
  std::int64_t length = 0;  // W
  std::int64_t count = 0;
  std::optional<int> bos;
  std::vector<int> tokens = {};  // [count, length], of the text: without the bos of each window

  std::int64_t first_scored() const { return length / 2; }
  std::int64_t scored() const { return length - 1 - first_scored(); }  // positions of a window
  std::span<const int> window(std::int64_t w) const;
  // The tokens after scored positions [i, i + n) of window w.
  std::span<const int> targets(std::int64_t w, std::int64_t i, std::size_t n) const;
  void keep(std::int64_t at_most);  // the first windows
};

struct window_options {
  std::int64_t length = 512;
  std::int64_t at_most = -1;  // windows; negative: all there are
  std::int64_t skip = 0;      // windows left out at the beginning
};

// Throws errc::out_of_range when the text has fewer than two windows (the message says how many tokens there are), or a
// window has fewer than 4 tokens.
window_set cut_windows(const tokenizer& t, std::string_view text, const window_options& options);

struct window_evaluator_options {
  evaluator_options evaluation = {};
  bq::type keys = bq::type::f16, values = bq::type::f16;
  std::int64_t batch = 2048;  // tokens evaluated at once: several windows, or a part of one
  bool all_tokens = false;    // take every token of a window through all layers, scored or not
};

// Evaluates windows several at a time. Logits do not depend on how many, nor on the threads.
class window_evaluator {
 public:
  // The model must outlive it. Throws as kv_cache.
  window_evaluator(const decoder& model, const window_set& windows, const window_evaluator_options& options);

  std::int64_t at_once() const { return at_once_; }  // windows of a run

  std::size_t vocabulary() const { return static_cast<std::size_t>(model_.vocabulary); }

  // Evaluates windows [first, first + count), count <= at_once(). Throws as evaluator::run.
  void run(std::int64_t first, std::int64_t count);

  // Logits of scored positions [position, position + n) of one of those windows: [n, vocabulary], until the next call.
  std::span<const float> logits(std::int64_t window, std::int64_t position, std::int64_t n);
  // What the logits of the last run's scored positions are computed from: [windows, scored, embedding].
  std::span<const float> hidden() const;
  std::int64_t logits_at_once() const { return rows_; }  // positions that are best asked for in one call

 private:
  const decoder& model_;
  const window_set& windows_;
  const window_evaluator_options options_;
  std::int64_t at_once_, rows_, first_ = 0, count_ = 0;
  evaluator evaluator_;
  std::optional<kv_cache> cache_;
  std::vector<float> hidden_;  // [at_once, scored, embedding]
  std::vector<float> logits_;
};

// Is shown logits [positions, vocabulary] of a window, from its scored position `first` on.
using logits_visitor = std::function<void(std::int64_t window, std::int64_t first, std::span<const float> logits)>;

// Shows all scored positions in order, and calls done(window) after each window.
void for_each_logits(window_evaluator& of, const window_set& windows, const logits_visitor& visit,
                     const std::function<void(std::int64_t)>& done);

}  // namespace bq_llm
