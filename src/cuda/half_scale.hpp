// The power of two that brings values of any size into f16: value = power * half, the largest of them in [0.5, 1) *
// 2^14. Host and device.
#pragma once
#include "formats/float16.hpp"

namespace bq::cuda {

inline constexpr std::uint32_t infinity_bits = 0x7f800000u, nan_bits = 0x7fc00000u;

struct half_scale {
  float power, inverse;

  // `top`: the bits of the largest magnitude. NaN where that is not finite; 1 for zero.
  BQ_HD explicit half_scale(std::uint32_t top) {
    const std::uint32_t exponent = top >> 23 < 14u ? 14u : top >> 23;  // smaller values need no more
    power = f32_from_bits(top >= infinity_bits ? nan_bits : top == 0 ? 0x3f800000u : (exponent - 13u) << 23);
    inverse = f32_from_bits(top >= infinity_bits ? nan_bits : (267u - exponent) << 23);
  }
};

}  // namespace bq::cuda
