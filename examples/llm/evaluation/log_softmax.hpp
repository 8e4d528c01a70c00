// Logits to log-probabilities, over vocabularies of hundreds of thousands of tokens: plain loops that compilers turn
// into vectors. Every result is one fixed sequence of IEEE operations, so it has the same bits in every build.
//
//   ln p(i) = (x_i - max x) - ln sum exp(x - max x)
//   KL(p || q) = sum p (ln p - ln q)
//
// Sums: 16 partial sums in f32 over 1024 terms, those in f64.
#pragma once
#include <cstddef>
#include <span>

namespace bq_llm {

// e^x for x <= 0, relative error below (1 - x) 2^-22; x below -87 counts as -87. exp_of_negative(0) = 1.
float exp_of_negative(float x);

struct softmax_summary {
  float max = 0;
  std::size_t top = 0;  // first index of max
  double log_sum = 0;   // ln sum exp(x - max); NaN when a logit is NaN or all are infinite

  double log_probability(float x) const { return static_cast<double>(x - max) - log_sum; }
};

// The largest of at least one number; NaN is passed over unless it is the first.
float largest(std::span<const float> x);

// Of at least one logit.
softmax_summary summarise(std::span<const float> logits);

// out = ln p in f32.
void log_probabilities(std::span<const float> logits, const softmax_summary& of, std::span<float> out);

// A token that has no probability in a list of log-probabilities.
inline constexpr float no_probability = -1000.0f;

// KL(p || q), p given by its log-probabilities and q by its logits. 0 when log_probabilities() gave `log_p` for the
// same logits.
double kl_divergence(std::span<const float> log_p, std::span<const float> q, const softmax_summary& of_q);

}  // namespace bq_llm
