// The quantisers that the 32-weight formats share: Q4_0 and Q5_0, Q4_1 and Q5_1, Q8_0 and Q8_1. Each takes a row [cols]
// and hands every block's codes and scale to `store`. Source: quantize_row_q*_ref and quantize_q* of ggml-quants.c.
#pragma once
#include <limits>
#include <utility>

#include "search.hpp"

namespace bq {

// store(block, d, codes): weights about d * (code - zero), codes below 2 * zero.
template <int Zero, class Store>
void symmetric_quantize(const float* x, std::int64_t cols, const float* importance, Store store) {
  std::uint8_t codes[32];
  float w[32];
  const float variance = importance ? sum_squares(x, cols) / static_cast<float>(cols) : 0.0f;
  for (std::int64_t b = 0; b < cols / 32; ++b, x += 32) {
    if (importance) {
      importance_weights(x, importance + 32 * b, 32, variance, w);
      const float scale = symmetric_search(x, w, 32, Zero, codes);
      store(b, scale, codes);
      continue;
    }
    const float scale = extreme(x, 32) / -Zero, inverse = scale != 0 ? 1.0f / scale : 0.0f;
    for (int i = 0; i < 32; ++i) {
      const int code = static_cast<std::int8_t>(truncate(x[i] * inverse + (Zero + 0.5f)));
      codes[i] = static_cast<std::uint8_t>(std::min(2 * Zero - 1, code));
    }
    store(b, scale, codes);
  }
}

inline std::pair<float, float> range(const float* x, int n) {
  float low = std::numeric_limits<float>::max(), high = -low;
  for (int i = 0; i < n; ++i) {
    if (x[i] < low) low = x[i];
    if (x[i] > high) high = x[i];
  }
  return {low, high};
}

// store(block, d, m, codes): weights about d * code + m, codes up to Limit.
template <int Limit, class Store>
void affine_quantize(const float* x, std::int64_t cols, const float* importance, Store store) {
  std::uint8_t codes[32];
  float w[32];
  const float variance = importance ? sum_squares(x, cols) / static_cast<float>(cols) : 0.0f;
  for (std::int64_t b = 0; b < cols / 32; ++b, x += 32) {
    if (importance) {
      importance_weights(x, importance + 32 * b, 32, variance, w);
      float minimum;
      const float scale = affine_search(x, w, 32, Limit, {-0.9f, 0.05f, 36, false}, codes, &minimum);
      store(b, scale, -minimum, codes);
      continue;
    }
    const auto [low, high] = range(x, 32);
    const float scale = (high - low) / Limit, inverse = scale != 0 ? 1.0f / scale : 0.0f;
    for (int i = 0; i < 32; ++i) {
      const int code = static_cast<std::int8_t>(truncate((x[i] - low) * inverse + 0.5f));
      codes[i] = static_cast<std::uint8_t>(std::min(Limit, code));
    }
    store(b, scale, low, codes);
  }
}

// q[i] = round(x[i] / d), halves away from zero, with the largest magnitude at 127. Returns d.
inline float nearest_bytes(const float* x, std::int8_t* q) {
  const float scale = max_abs(x, 32) / 127, inverse = scale != 0 ? 1.0f / scale : 0.0f;
  for (int i = 0; i < 32; ++i) q[i] = static_cast<std::int8_t>(truncate(std::round(x[i] * inverse)));
  return scale;
}

}  // namespace bq
