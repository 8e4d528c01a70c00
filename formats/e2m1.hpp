// E2M1, the 4-bit float that MXFP4 and NVFP4 share: sign, two exponent bits, one fraction bit (0, 0.5, 1, 1.5, 2, 3, 4,
// 6). The codebook holds doubled values, which are integers; the formats' scales are halved to match.
#pragma once
#include <cstdint>

#include "lanes.hpp"

namespace bq {

BQ_HD constexpr codebook16 e2m1_codebook() { return {{0x03020100u, 0x0c080604u, 0xfdfeff00u, 0xf4f8fafcu}}; }

// Code of the value nearest to x in units of `scale`; the first of equals, so never the negative zero.
template <class L>
BQ_BOTH typename L::ints e2m1_nearest(typename L::reals x, typename L::reals scale) {
  constexpr std::int8_t values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
  typename L::ints best = 0;
  typename L::reals least = L::abs(x);
  for (int i = 1; i < 16; ++i) {
    const typename L::reals error = L::abs(static_cast<float>(values[i]) * scale - x);
    const auto nearer = error < least;
    best = L::select(nearer, i, best);
    least = L::select(nearer, error, least);
  }
  return best;
}

}  // namespace bq
