// Perplexity of a text: exp of the mean of -ln p over the scored tokens, with the standard error of the mean carried
// through exp.
//
//   PPL = exp(m), error = PPL sqrt((mean(nll^2) - m^2) / (n - 1)), m = mean(nll)
#pragma once
#include <functional>
#include <span>
#include <vector>

#include "evaluation/windows.hpp"

namespace bq_llm {

struct estimate {
  double value = 0, error = 0;
};

// Mean and standard error from sums of values and of their squares; error 0 for fewer than two values.
estimate mean(double sum, double sum_of_squares, std::size_t count);

// From -ln p of tokens, in order. Of at least one token.
estimate perplexity(std::span<const double> nll);

// -ln p of the targets of scored positions [first, ...) of a window, into `out`, one for each row of logits. Throws
// errc::not_finite naming window and token.
void score_tokens(const window_set& windows, std::int64_t window, std::int64_t first, std::span<const float> logits,
                  std::span<double> out, bq::executor& threads);

// -ln p of all scored tokens, in order; `done` is called after each window with what is known by then, `also` sees all
// logits.
std::vector<double> score_text(window_evaluator& of, const window_set& windows, bq::executor& threads,
                               const std::function<void(std::span<const double>)>& done,
                               const logits_visitor& also = {});

}  // namespace bq_llm
