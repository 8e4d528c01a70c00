#include "log_softmax.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

namespace bq_llm {

namespace {

constexpr std::size_t lanes = 16, block = 1024;

// 2^(n + f), n = round(x / ln 2); the polynomial for (2^f - 1) / f is minimax on |f| <= 1/2: 2^-28.9.
inline float exponential(float x) {
  const float y = (x < -87.0f ? -87.0f : x) * 0x1.715476p+0f;
  constexpr float magic = 12582912.0f;  // adding it rounds to an integer, in the lowest bits
  const float shifted = y + magic;
  const float f = y - (shifted - magic);
  float p = 0x1.41fbbcp-13f;
  p = p * f + 0x1.5f3e52p-10f;
  p = p * f + 0x1.3b2d4cp-7f;
  p = p * f + 0x1.c6aee8p-5f;
  p = p * f + 0x1.ebfbdcp-3f;
  p = p * f + 0x1.62e430p-1f;
  const auto power = (std::bit_cast<std::uint32_t>(shifted) << 23) + 0x3f800000u;
  return (1.0f + p * f) * std::bit_cast<float>(power);
}

template <class Term>
double sum(std::size_t n, Term term) {
  double total = 0;
  for (std::size_t at = 0; at < n; at += block) {
    float part[lanes] = {};
    const std::size_t end = std::min(n, at + block);
    std::size_t i = at;
    for (; i + lanes <= end; i += lanes) {
      for (std::size_t l = 0; l < lanes; ++l) part[l] += term(i + l);
    }
    for (std::size_t l = 0; i + l < end; ++l) part[l] += term(i + l);
    for (const float p : part) total += static_cast<double>(p);
  }
  return total;
}

float largest_of(const float* x, std::size_t n) {
  float part[lanes];
  std::fill(part, part + lanes, x[0]);
  std::size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    for (std::size_t l = 0; l < lanes; ++l) part[l] = x[i + l] > part[l] ? x[i + l] : part[l];
  }
  for (std::size_t l = 0; i + l < n; ++l) part[l] = x[i + l] > part[l] ? x[i + l] : part[l];
  return *std::max_element(part, part + lanes);
}

}  // namespace

float largest(std::span<const float> x) { return largest_of(x.data(), x.size()); }

float exp_of_negative(float x) { return exponential(x); }

softmax_summary summarise(std::span<const float> logits) {
  softmax_summary s{.max = logits[0]};
  std::size_t best = 0;
  for (std::size_t at = 0; at < logits.size(); at += block) {
    const float m = largest_of(&logits[at], std::min(block, logits.size() - at));
    if (m > s.max) s.max = m, best = at;
  }
  const auto top = std::find(logits.begin() + static_cast<std::ptrdiff_t>(best), logits.end(), s.max);
  s.top = top == logits.end() ? 0 : static_cast<std::size_t>(top - logits.begin());
  const float* x = logits.data();
  const float max = s.max;
  s.log_sum = std::log(sum(logits.size(), [=](std::size_t i) { return exponential(x[i] - max); }));
  return s;
}

void log_probabilities(std::span<const float> logits, const softmax_summary& of, std::span<float> out) {
  const float log_sum = static_cast<float>(of.log_sum);
  for (std::size_t i = 0; i < logits.size(); ++i) out[i] = (logits[i] - of.max) - log_sum;
}

double kl_divergence(std::span<const float> log_p, std::span<const float> q, const softmax_summary& of_q) {
  const float *p = log_p.data(), *x = q.data();
  const float max = of_q.max, log_sum = static_cast<float>(of_q.log_sum);
  return sum(log_p.size(), [=](std::size_t i) { return exponential(p[i]) * (p[i] - ((x[i] - max) - log_sum)); });
}

}  // namespace bq_llm
