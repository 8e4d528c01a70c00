// Quantising a matrix [rows, cols], derived from every format's own quantiser: blocks are taken in their order, which
// is that of the weights, as many at a time as L has lanes (formats/lanes.hpp).
#pragma once
#include <algorithm>
#include <cstddef>

#include "lanes.hpp"

namespace bq {

template <class F>
concept quantizable = requires(const float* x, block_importance<one_lane> importance, typename F::block* out) {
  F::template quantize<one_lane>(x, importance, one_lane::blocks<F>(out));
};

template <class F>
concept row_mean_square_format = requires {
  requires F::uses_row_mean_square;
};

// In the reference's order of summation.
template <class L>
BQ_BOTH float row_mean_square(const float* x, std::int64_t cols) {
  float total = 0;
  for (std::int64_t i = 0; i < cols; ++i) total += x[i] * x[i];
  return total / static_cast<float>(cols);
}

// x [rows, cols], cols a multiple of F::block_size; importance null or [cols].
template <class L, any_format F>
void quantize_blocks(const float* x, std::int64_t rows, std::int64_t cols, const float* importance,
                     typename F::block* out) {
  if constexpr (float_format<F>) {
    for (std::int64_t i = 0; i < rows * cols; ++i) out[i] = F::encode(x[i]);
  } else {
    using columns = typename L::template columns<F::block_size>;
    const std::int64_t per_row = cols / F::block_size, count = rows * per_row;
    std::int64_t row = -1;
    float mean_square = 0;
    for (std::int64_t first = 0; first < count; first += L::count) {
      const int here = static_cast<int>(std::min<std::int64_t>(L::count, count - first));
      const float *weights[L::count], *importances[L::count];
      float mean_squares[L::count];
      for (int lane = 0; lane < L::count; ++lane) {  // lanes without a block repeat the last
        const std::int64_t block = first + std::min(lane, here - 1);
        weights[lane] = x + block * F::block_size;
        if (!importance) continue;
        importances[lane] = importance + block % per_row * F::block_size;
        if constexpr (row_mean_square_format<F>) {
          if (block / per_row != row) {
            row = block / per_row;
            mean_square = row_mean_square<L>(x + row * cols, cols);
          }
          mean_squares[lane] = mean_square;
        }
      }
      L::template write<F>(out + first, here, [&](const auto& to) {
        const columns block_weights(weights);
        if (!importance) return F::template quantize<L>(block_weights.data, {}, to);
        const columns block_importances(importances);
        block_importance<L> i{block_importances.data};
        if constexpr (row_mean_square_format<F>) i.row_mean_square = L::load(mean_squares);
        F::template quantize<L>(block_weights.data, i, to);
      });
    }
  }
}

}  // namespace bq
