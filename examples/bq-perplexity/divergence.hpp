// How a model differs from a base model on the same tokens, token by token and summed up. P is the base's distribution
// of the next token, Q the model's, p and q what they give to the token of the text.
//
//   KLD = sum P (ln P - ln Q),  delta p = q - p,  same top: the most probable token of Q is one of P's most probable
#pragma once
#include <blockquant/parallel.hpp>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "evaluation/perplexity.hpp"

namespace bq_perplexity {

using bq_llm::estimate;

struct token_divergence {
  double nll = 0, base_nll = 0;  // -ln q, -ln p
  double kld = 0, delta_p = 0;
  bool same_top = false;
};

// For each row: the base's log-probabilities [rows, vocabulary] against the model's logits; `targets` are the tokens of
// the text. Throws errc::not_finite, naming the row counted from `first`.
void compare_rows(std::span<const float> base_log_p, std::span<const float> logits, std::span<const int> targets,
                  std::span<token_divergence> out, std::size_t first, bq::executor& threads);

// A value for each share of the tokens: 0 the least, 0.5 the median, 1 the largest; between two tokens, interpolated.
double quantile(std::span<const double> sorted, double share);

// Everything that llama-perplexity prints, from at least one token. Errors are standard errors, carried through.
struct divergence_statistics {
  explicit divergence_statistics(std::span<const token_divergence> tokens);

  std::size_t tokens;
  estimate perplexity, base_perplexity;
  double correlation = 0;                 // of ln PPL and the base's
  estimate log_ratio, ratio, difference;  // of PPL to the base's, PPL - the base's
  estimate kld, delta_p, delta_p_rms, same_top;
  std::vector<double> sorted_kld, sorted_delta_p;
};

}  // namespace bq_perplexity
