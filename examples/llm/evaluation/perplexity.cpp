#include "perplexity.hpp"

#include <blockquant/error.hpp>
#include <cmath>

#include "evaluation/log_softmax.hpp"

namespace bq_llm {

estimate mean(double sum, double sum_of_squares, std::size_t count) {
  const double n = static_cast<double>(count), m = sum / n;
  const double variance = sum_of_squares / n - m * m;
  return {m, count > 1 && variance > 0 ? std::sqrt(variance / (n - 1)) : 0};
}

estimate perplexity(std::span<const double> nll) {
  double sum = 0, squares = 0;
  for (const double v : nll) sum += v, squares += v * v;
  const estimate m = mean(sum, squares, nll.size());
  return {std::exp(m.value), std::exp(m.value) * m.error};
}

void score_tokens(const window_set& windows, std::int64_t window, std::int64_t first, std::span<const float> logits,
                  std::span<double> out, bq::executor& threads) {
  const std::size_t vocabulary = logits.size() / out.size();
  const std::span<const int> targets = windows.targets(window, first, out.size());
  threads.run(out.size(), [&](std::size_t i) {
    const auto row = logits.subspan(i * vocabulary, vocabulary);
    out[i] = -summarise(row).log_probability(row[static_cast<std::size_t>(targets[i])]);
    if (std::isfinite(out[i])) return;
    throw bq::error({.code = bq::errc::not_finite,
                     .message = "the model's logits are not finite",
                     .subject = "window " + std::to_string(window) + ", scored token " +
                                std::to_string(first + static_cast<std::int64_t>(i))});
  });
}

std::vector<double> score_text(window_evaluator& of, const window_set& windows, bq::executor& threads,
                               const std::function<void(std::span<const double>)>& done, const logits_visitor& also) {
  std::vector<double> nll(static_cast<std::size_t>(windows.count * windows.scored()));
  const auto until = [&](std::int64_t window, std::int64_t position) {
    return static_cast<std::size_t>(window * windows.scored() + position);
  };
  for_each_logits(
      of, windows,
      [&](std::int64_t w, std::int64_t first, std::span<const float> logits) {
        const std::size_t n = logits.size() / of.vocabulary();
        score_tokens(windows, w, first, logits, std::span(nll).subspan(until(w, first), n), threads);
        if (also) also(w, first, logits);
      },
      [&](std::int64_t w) { done(std::span(nll).first(until(w + 1, 0))); });
  return nll;
}

}  // namespace bq_llm
