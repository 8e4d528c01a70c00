// E2M1, the 4-bit float that MXFP4 and NVFP4 share: sign, two exponent bits, one fraction bit (0, 0.5, 1, 1.5, 2, 3, 4,
// 6). The codebook holds doubled values, which are integers; the formats' scales are halved to match.
#pragma once
#include <cmath>
#include <cstdint>

#include "format.hpp"

namespace bq {

inline constexpr std::int8_t e2m1_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

BQ_HD codebook16 e2m1_codebook() { return {{0x03020100u, 0x0c080604u, 0xfdfeff00u, 0xf4f8fafcu}}; }

// Code of the value nearest to x in units of `scale`; the first of equals, so never the negative zero.
inline std::uint8_t e2m1_nearest(float x, float scale) {
  int best = 0;
  float least = std::fabs(x);
  for (int i = 1; i < 16; ++i) {
    const float error = std::fabs(static_cast<float>(e2m1_values[i]) * scale - x);
    if (error < least) {
      best = i;
      least = error;
    }
  }
  return static_cast<std::uint8_t>(best);
}

}  // namespace bq
