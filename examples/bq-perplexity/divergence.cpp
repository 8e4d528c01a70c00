#include "divergence.hpp"

#include <algorithm>
#include <blockquant/error.hpp>
#include <cmath>

#include "evaluation/log_softmax.hpp"

namespace bq_perplexity {

namespace {

struct sums {
  double x = 0, xx = 0;
  void add(double v) { x += v, xx += v * v; }
};

double root(double x) { return std::sqrt(std::max(x, 0.0)); }

}  // namespace

void compare_rows(std::span<const float> base_log_p, std::span<const float> logits, std::span<const int> targets,
                  std::span<token_divergence> out, std::size_t first, bq::executor& threads) {
  const std::size_t vocabulary = logits.size() / out.size();
  threads.run(out.size(), [&](std::size_t i) {
    const auto log_p = base_log_p.subspan(i * vocabulary, vocabulary), row = logits.subspan(i * vocabulary, vocabulary);
    const auto target = static_cast<std::size_t>(targets[i]);
    const bq_llm::softmax_summary of_row = bq_llm::summarise(row);
    token_divergence& t = out[i];
    t.nll = -of_row.log_probability(row[target]);
    t.base_nll = -static_cast<double>(log_p[target]);
    t.kld = bq_llm::kl_divergence(log_p, row, of_row);
    t.delta_p = std::exp(-t.nll) - std::exp(-t.base_nll);
    t.same_top = log_p[of_row.top] == bq_llm::largest(log_p);
    if (std::isfinite(t.nll) && std::isfinite(t.kld)) return;
    throw bq::error({.code = bq::errc::not_finite,
                     .message = "the model's logits are not finite",
                     .subject = "scored token " + std::to_string(first + i)});
  });
}

double quantile(std::span<const double> sorted, double share) {
  const double at = share * static_cast<double>(sorted.size() - 1);
  const auto below = std::min(static_cast<std::size_t>(at), sorted.size() - 1);
  const auto above = std::min(below + 1, sorted.size() - 1);
  const double weight = at - static_cast<double>(below);
  return (1 - weight) * sorted[below] + weight * sorted[above];
}

divergence_statistics::divergence_statistics(std::span<const token_divergence> all) : tokens(all.size()) {
  sums nll, base, divergence, difference_p, squared;
  double products = 0, same = 0;
  for (const token_divergence& t : all) {
    nll.add(t.nll);
    base.add(t.base_nll);
    products += t.nll * t.base_nll;
    divergence.add(t.kld);
    difference_p.add(t.delta_p);
    squared.add(t.delta_p * t.delta_p);
    same += t.same_top;
    sorted_kld.push_back(t.kld);
    sorted_delta_p.push_back(t.delta_p);
  }
  std::ranges::sort(sorted_kld);
  std::ranges::sort(sorted_delta_p);

  const double n = static_cast<double>(all.size());
  const auto mean = [&](const sums& s) { return bq_llm::mean(s.x, s.xx, all.size()); };
  const estimate m = mean(nll), b = mean(base);
  const double covariance = all.size() > 1 ? (products / n - m.value * b.value) / (n - 1) : 0;
  perplexity = {std::exp(m.value), std::exp(m.value) * m.error};
  base_perplexity = {std::exp(b.value), std::exp(b.value) * b.error};
  correlation = m.error * b.error > 0 ? covariance / (m.error * b.error) : 0;
  log_ratio = {m.value - b.value, root(m.error * m.error + b.error * b.error - 2 * covariance)};
  ratio = {std::exp(log_ratio.value), std::exp(log_ratio.value) * log_ratio.error};
  const double p = perplexity.value, q = base_perplexity.value;
  difference = {p - q, root(p * p * m.error * m.error + q * q * b.error * b.error - 2 * p * q * covariance)};

  kld = mean(divergence);
  delta_p = mean(difference_p);
  const estimate square = mean(squared);
  const double rms = root(square.value);
  delta_p_rms = {rms, rms > 0 ? square.error / (2 * rms) : 0};
  same_top = {same / n, n > 1 ? root(same / n * (1 - same / n) / (n - 1)) : 0};
}

}  // namespace bq_perplexity
