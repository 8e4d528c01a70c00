// The quantisers that the 32-weight formats share: Q4_0 and Q5_0, Q4_1 and Q5_1, Q8_0 and Q8_1. Each takes the blocks
// in all lanes of L. Source: quantize_row_q*_ref and quantize_q* of ggml-quants.c.
#pragma once
#include "search.hpp"

namespace bq {

// Weights about d * (code - Zero), codes below 2 * Zero. Returns d.
template <class L, int Zero>
BQ_BOTH typename L::reals symmetric_quantize(const typename L::reals* x, const block_importance<L>& importance,
                                             typename L::ints* codes) {
  using reals = typename L::reals;
  if (importance.weight) {
    reals w[32];
    importance_weights<L>(x, importance.weight, 32, importance.row_mean_square, w);
    return symmetric_search<L>(x, w, 32, Zero, codes);
  }
  const reals scale = extreme<L>(x, 32) / static_cast<float>(-Zero), inverse = divide_or_zero<L>(1.0f, scale);
  for (int i = 0; i < 32; ++i) {
    const auto code = wrap_byte<L>(L::truncate(x[i] * inverse + (Zero + 0.5f)));
    codes[i] = L::min(2 * Zero - 1, code) & 255;
  }
  return scale;
}

// Weights about d * code + m, codes up to Limit. Returns d.
template <class L, int Limit>
BQ_BOTH typename L::reals affine_quantize(const typename L::reals* x, const block_importance<L>& importance,
                                          typename L::ints* codes, typename L::reals* m) {
  using reals = typename L::reals;
  if (importance.weight) {
    reals w[32], minimum;
    importance_weights<L>(x, importance.weight, 32, importance.row_mean_square, w);
    const reals scale = affine_search<L>(x, w, 32, Limit, {-0.9f, 0.05f, 36, false}, codes, &minimum);
    *m = L::negate(minimum);
    return scale;
  }
  reals low = std::numeric_limits<float>::max(), high = -std::numeric_limits<float>::max();
  for (int i = 0; i < 32; ++i) {
    low = L::select(x[i] < low, x[i], low);
    high = L::select(x[i] > high, x[i], high);
  }
  const reals scale = (high - low) / static_cast<float>(Limit), inverse = divide_or_zero<L>(1.0f, scale);
  for (int i = 0; i < 32; ++i) {
    const auto code = wrap_byte<L>(L::truncate((x[i] - low) * inverse + 0.5f));
    codes[i] = L::min(Limit, code) & 255;
  }
  *m = low;
  return scale;
}

// q[i] = round(x[i] / d), halves away from zero, with the largest magnitude at 127. Returns d.
template <class L>
BQ_BOTH typename L::reals nearest_bytes(const typename L::reals* x, typename L::ints* q) {
  const typename L::reals scale = max_abs<L>(x, 32) / 127.0f, inverse = divide_or_zero<L>(1.0f, scale);
  for (int i = 0; i < 32; ++i) q[i] = wrap_byte<L>(nearest_away<L>(x[i] * inverse));
  return scale;
}

}  // namespace bq
