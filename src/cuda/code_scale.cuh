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
};

}  // namespace bq::cuda
