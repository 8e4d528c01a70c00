// Every result is checked on a sample before it is timed, against bounds that follow from the formats and the number of
// roundings.
#pragma once
#include <blockquant/tensor.hpp>
#include <cstdint>
#include <span>
#include <stdexcept>

namespace bq_bench {

struct wrong_result : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// What a product does to its activations, and to its weights, before it multiplies.
struct activation_rounding {
  std::int64_t run = 32;     // columns under one scale
  double levels = 0;         // the run's largest activation becomes so many steps; 0: no steps at all
  double weight_levels = 0;  // the same of weights, whose steps are made for up to twice the run's largest
  double relative = 0;       // error of a scale or a narrower float, relative to the value
};

// y [tokens, rows] against the f64 product of x [tokens, cols] and the decoded weights, on some rows and tokens. The
// largest error, relative to the sum of absolute terms. Throws wrong_result where an error exceeds what the
// activations' rounding and the roundings of f32 sums allow.
double check_product(const bq::matrix& w, std::span<const float> x, std::int64_t tokens, std::span<const float> y,
                     const activation_rounding& rounding);

// Weights that were quantised and decoded again, against the originals. The largest error, relative to the block's
// largest weight. Throws wrong_result where it exceeds 1: zeros would then have been closer.
double check_decoded(std::span<const float> weights, std::span<const float> decoded, std::int64_t block_size);

}  // namespace bq_bench
