// Float to integer as the reference quantisers do it, defined for every input. ggml relies on what x86 does where C++
// leaves the conversion undefined (a block whose scale is subnormal has 1 / d = infinity); these give the same integers
// everywhere.
#pragma once
#include <limits>

#include "float16.hpp"

namespace bq {

// Towards zero; NaN and what does not fit give INT_MIN, as cvttss2si does.
inline int truncate(float x) {
  return x >= -2147483648.0f && x < 2147483648.0f ? static_cast<int>(x) : std::numeric_limits<int>::min();
}

// To nearest, ties to even, for |x| <= 2^22: adding 1.5 * 2^23 leaves the integer in the low mantissa bits. Other
// inputs give some integer in [-2^22, 2^22).
inline int nearest_int(float x) { return static_cast<int>(f32_to_bits(x + 12582912.0f) & 0x007fffffu) - 0x00400000; }

}  // namespace bq
