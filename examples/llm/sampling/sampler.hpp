// Chooses the next token from logits. In this order, as llama.cpp has it (Keskar et al. 2019 for the penalty, Holtzman
// et al. 2020 for top_p, Nguyen et al. 2024 for min_p):
//
//   penalty      l / repeat_penalty (l > 0) or l * repeat_penalty of tokens among the last repeat_window
//   top_k        the k likeliest; p = softmax(l) over them
//   top_p        the fewest of the likeliest whose p sum to top_p or more
//   min_p        those with p >= min_p * the largest p
//   temperature  drawn from softmax(l / temperature) over what is left; 0: the likeliest
//
// Ties go to the lower id. The same logits, options and history give the same tokens on every machine.
#pragma once
#include <cstdint>
#include <random>
#include <span>
#include <vector>

namespace bq_llm {

struct sampling_options {
  double temperature = 0.8;
  std::int64_t top_k = 40;  // 0: all
  double top_p = 0.95;      // 1: all
  double min_p = 0.05;      // 0: all
  double repeat_penalty = 1.0;
  std::int64_t repeat_window = 64;  // tokens; negative: all
  std::uint64_t seed = 0;
};

struct candidate {
  int id;
  float logit;         // with its penalty
  double probability;  // of being drawn
};

// One thread at a time may use a sampler; its buffers stay from call to call.
class sampler {
 public:
  // Throws errc::invalid_argument naming the option: a temperature that is negative or not finite, probabilities
  // outside [0, 1], a negative top_k, a penalty that is not positive and finite.
  explicit sampler(const sampling_options& options);

  // What the next token is drawn from, valid until the next call; probabilities add up to 1. `logits` [vocabulary];
  // `history`: the ids so far, the last one latest; `banned`: ids that must not come. All ids are in [0, vocabulary).
  // Throws errc::not_finite for a logit that is NaN or infinity (-infinity: never), and when no token is left.
  std::span<const candidate> distribution(std::span<const float> logits, std::span<const int> history,
                                          std::span<const int> banned = {});
  // Draws from it. Throws as distribution().
  int next(std::span<const float> logits, std::span<const int> history, std::span<const int> banned = {});

 private:
  void keep_likeliest();
  const sampling_options options_;
  std::mt19937_64 random_;
  std::vector<float> logits_;
  std::vector<candidate> kept_;
};

}  // namespace bq_llm
