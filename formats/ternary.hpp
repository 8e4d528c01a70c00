// The rounding that TQ1_0 and TQ2_0 share: x to -1, 0 or 1 times the largest magnitude, stored plus one. Returns that
// magnitude.
#pragma once
#include <cmath>

#include "search.hpp"

namespace bq {

inline float nearest_trits(const float* x, int n, std::uint8_t* codes) {
  const float scale = max_abs(x, n), inverse = scale != 0 ? 1.0f / scale : 0.0f;
  for (int i = 0; i < n; ++i) codes[i] = static_cast<std::uint8_t>(truncate(std::round(x[i] * inverse)) + 1);
  return scale;
}

}  // namespace bq
