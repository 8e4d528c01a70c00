// What IQ4_NL and IQ4_XS share: 4-bit codes that index 16 signed values, denser near zero, and the search for a scale.
// Source: quantize_row_iq4_nl_impl of ggml-quants.c.
#pragma once
#include "search.hpp"

namespace bq {

inline constexpr std::int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                               1,    13,   25,  38,  53,  69,  89,  113};

BQ_HD codebook16 iq4_codebook() { return {{0xbfad9881u, 0xf6eaddcfu, 0x26190d01u, 0x71594535u}}; }

// Index of the value nearest to x (the larger of two at the same distance).
inline int iq4_nearest(float x) {
  const auto value = [](int i) { return static_cast<float>(iq4_values[i]); };
  if (x <= value(0)) return 0;
  if (!(x < value(15))) return 15;
  int below = 0;
  for (int step = 8; step > 0; step /= 2) {
    if (!(x < value(below + step))) below += step;
  }
  return x - value(below) < value(below + 1) - x ? below : below + 1;
}

inline void iq4_round(const float* x, float scale, int n, std::uint8_t* codes) {
  const float inverse = scale != 0 ? 1 / scale : 0.0f;
  for (int i = 0; i < n; ++i) codes[i] = static_cast<std::uint8_t>(iq4_nearest(inverse * x[i]));
}

// Scale of a group of 32: of the one that maps the extreme weight to 127 and those that map it to -134 .. -120, the one
// with the best weighted fit.
inline float iq4_search(const float* x, const float* w) {
  const float top = extreme(x, 32);
  if (std::fabs(top) < negligible) return 0;
  float scale = 0, best = 0;
  const auto try_scale = [&](float inverse, bool first) {
    float xq = 0, qq = 0;
    for (int i = 0; i < 32; ++i) {
      const float q = static_cast<float>(iq4_values[iq4_nearest(inverse * x[i])]);
      xq += w[i] * q * x[i];
      qq += w[i] * q * q;
    }
    if (first || (qq > 0 && xq * xq > best * qq)) {
      scale = qq > 0 ? xq / qq : 0.0f;
      best = scale * xq;
    }
  };
  try_scale(1 / (-top / static_cast<float>(iq4_values[0])), true);
  for (int k = -7; k <= 7; ++k) try_scale(static_cast<float>(k + iq4_values[0]) / top, false);
  return scale;
}

// Error weights of n weights (a block): with importance, or squares.
inline void iq4_weights(const float* x, const float* importance, int n, float* w) {
  if (importance)
    importance_weights(x, importance, n, sum_squares(x, n) * (2.0f / static_cast<float>(n)), w);
  else
    squares(x, n, w);
}

}  // namespace bq
