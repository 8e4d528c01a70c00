#include "accuracy.hpp"

#include <cmath>

namespace bq_perplexity {

accuracy::accuracy(std::span<const answer> answers) : tasks(answers.size()) {
  double right = 0, choices = 0;
  for (const answer& a : answers) right += a.right ? 1 : 0, choices += static_cast<double>(a.scores.size());
  const double n = static_cast<double>(tasks), guessed = n * n / choices;
  share = bq_llm::mean(right, right, tasks);  // of ones and zeros, which are their own squares
  chance = bq_llm::mean(guessed, guessed, tasks);
  within = wilson(right, n);
}

interval wilson(double right, double n) {
  constexpr double quantile = 1.959963984540054;  // of the normal distribution, 97.5 %
  const double z = quantile * quantile / n, p = right / n;
  const double middle = p + z / 2, half = std::sqrt(z * (p * (1 - p) + z / 4));
  return {(middle - half) / (1 + z), (middle + half) / (1 + z)};
}

}  // namespace bq_perplexity
