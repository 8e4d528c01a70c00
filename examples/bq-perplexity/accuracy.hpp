// Tasks answered right, of those answered: their share, its standard error, and an interval around it.
//
//   error = sqrt(p (1 - p) / (n - 1)), interval: Wilson's, 95 %
#pragma once
#include <cstddef>
#include <span>
#include <vector>

#include "evaluation/perplexity.hpp"

namespace bq_perplexity {

struct answer {
  std::size_t task = 0;        // in the file, from 0
  std::vector<double> scores;  // of the choices
  std::size_t chosen = 0;
  bool right = false;
};

struct interval {
  double low = 0, high = 0;
};

struct accuracy {
  // Of at least one task.
  explicit accuracy(std::span<const answer> answers);

  std::size_t tasks;
  bq_llm::estimate share, chance;  // chance: by guessing
  interval within;
};

// For `right` of n > 0.
interval wilson(double right, double n);

}  // namespace bq_perplexity
