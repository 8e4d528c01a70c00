// How values become signed bytes under a common scale: value = scale * code, scale = largest magnitude / 127, codes
// rounded to nearest even.
#pragma once
#include "half_scale.hpp"

namespace bq::cuda {

struct code_scale {
  float scale, inverse;

  // `top`: the bits of the largest magnitude. Not finite: scale NaN, codes 0; below 2^-100: scale 0, codes 0.
  __device__ explicit code_scale(std::uint32_t top) {
    const bool tiny = top < (127u - 100u) << 23, finite = top < infinity_bits;
    const float size = f32_from_bits(top);
    scale = tiny ? 0.0f : finite ? size / 127.0f : f32_from_bits(nan_bits);
    inverse = tiny || !finite ? 0.0f : 127.0f / size;
  }
  __device__ signed char code(float x) const {
    return inverse == 0.0f ? 0 : static_cast<signed char>(__float2int_rn(x * inverse));
  }
  // Of eight, the first in the lowest byte.
  __device__ uint2 codes(const float (&x)[8]) const {
    std::uint32_t words[2] = {};
#pragma unroll
    for (int i = 0; i < 8; ++i) words[i / 4] |= (static_cast<std::uint32_t>(code(x[i])) & 0xffu) << 8 * (i % 4);
    return make_uint2(words[0], words[1]);
  }
};

// Bits of the largest magnitude of eight: NaN is larger than everything.
__device__ inline std::uint32_t top_of(const float (&x)[8]) {
  std::uint32_t top = 0;
#pragma unroll
  for (const float e : x) top = max(top, f32_to_bits(e) & 0x7fffffffu);
  return top;
}

}  // namespace bq::cuda
