// The rounding that TQ1_0 and TQ2_0 share: x to -1, 0 or 1 times the largest magnitude, stored plus one. Returns that
// magnitude.
#pragma once
#include "search.hpp"

namespace bq {

template <class L>
BQ_BOTH typename L::reals nearest_trits(const typename L::reals* x, int n, typename L::ints* codes) {
  const typename L::reals scale = max_abs<L>(x, n), inverse = divide_or_zero<L>(1.0f, scale);
  for (int i = 0; i < n; ++i) codes[i] = (nearest_away<L>(x[i] * inverse) + 1) & 255;
  return scale;
}

}  // namespace bq
