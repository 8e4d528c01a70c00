// Float to integer as the reference quantisers do it, defined for every input.
#pragma once
#include "lanes.hpp"

namespace bq {

// To nearest, ties to even, for |x| <= 2^22: adding 1.5 * 2^23 leaves the integer in the low mantissa bits. Other
// inputs give some integer in [-2^22, 2^22).
template <class L>
BQ_BOTH typename L::ints nearest_int(typename L::reals x) {
  return (L::bits(x + 12582912.0f) & 0x007fffff) - 0x00400000;
}

// nearest_int, limited to [low, high].
template <class L>
BQ_BOTH typename L::ints nearest_int(typename L::reals x, int low, int high) {
  return L::min(L::max(nearest_int<L>(x), low), high);
}

// To nearest, halves away from zero, for |x| < 2^22; NaN and infinity give INT_MIN. Adding the float below a half never
// carries what is less than a half over.
template <class L>
BQ_BOTH typename L::ints nearest_away(typename L::reals x) {
  const typename L::reals half = 0x1.fffffep-2f;
  return L::truncate(x + L::select(x < 0.0f, L::negate(half), half));
}

// The low byte of each int, with its sign.
template <class L>
BQ_BOTH typename L::ints wrap_byte(typename L::ints v) {
  return v << 24 >> 24;
}

}  // namespace bq
