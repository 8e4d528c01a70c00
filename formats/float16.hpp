// 16-bit floats as the formats store them, and the small scale encodings: IEEE binary16, bfloat16, E8M0 and UE4M3.
// Conversions are bit arithmetic, so that they give the same bits on every compiler, CPU and GPU: to f32 exactly,
// from f32 rounded to nearest even; NaN stays NaN, values beyond the range become infinity.
// E8M0 and UE4M3 follow the OCP microscaling specification 1.0, with the halved scale that ggml's MXFP4 and NVFP4 use.
#pragma once
#include <bit>
#include <cstdint>

#include "format.hpp"

namespace bq {

BQ_HD float f32_from_bits(std::uint32_t u) {
#ifdef BQ_DEVICE
  return __uint_as_float(u);
#else
  return std::bit_cast<float>(u);
#endif
}

BQ_HD std::uint32_t f32_to_bits(float x) {
#ifdef BQ_DEVICE
  return __float_as_uint(x);
#else
  return std::bit_cast<std::uint32_t>(x);
#endif
}

// IEEE binary16. A NaN becomes a quiet one, as in CPUs' instructions. A subnormal is renormalised by one f32
// subtraction, which is exact.
BQ_HD float f16_to_f32(std::uint32_t h) {
#ifdef BQ_DEVICE
  float converted;
  asm("cvt.f32.f16 %0, %1;" : "=f"(converted) : "h"(static_cast<std::uint16_t>(h)));
  return converted;
#else
  const std::uint32_t sign = (h & 0x8000u) << 16, magnitude = h & 0x7fffu;
  if (magnitude > 0x7c00u) return f32_from_bits(sign | 0x7fc00000u | (magnitude & 0x3ffu) << 13);
  if (magnitude == 0x7c00u) return f32_from_bits(sign | 0x7f800000u);
  if (magnitude >= 0x0400u) return f32_from_bits(sign | ((magnitude << 13) + 0x38000000u));
  const float value = f32_from_bits(0x38800000u | magnitude << 13) - f32_from_bits(0x38800000u);
  return f32_from_bits(sign | f32_to_bits(value));
#endif
}

BQ_HD std::uint16_t f16_from_f32(float x) {
  const std::uint32_t u = f32_to_bits(x), sign = (u >> 16) & 0x8000u, magnitude = u & 0x7fffffffu;
  std::uint32_t half = 0x7e00u;                  // NaN
  if (magnitude <= 0x7f800000u) half = 0x7c00u;  // infinity, and what rounds to it
  if (magnitude < 0x38800000u) {                 // subnormal: adding 0.5 lets the FPU round at 2^-24
    half = f32_to_bits(f32_from_bits(magnitude) + 0.5f) - 0x3f000000u;
  } else if (magnitude < 0x477ff000u) {
    half = (magnitude - 0x38000000u + 0x0fffu + ((magnitude >> 13) & 1u)) >> 13;
  }
  return static_cast<std::uint16_t>(sign | half);
}

BQ_HD float bf16_to_f32(std::uint32_t h) { return f32_from_bits(h << 16); }

// A NaN keeps its upper bits and is made quiet.
BQ_HD std::uint16_t bf16_from_f32(float x) {
  const std::uint32_t u = f32_to_bits(x);
  if ((u & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>(u >> 16 | 0x40u);
  return static_cast<std::uint16_t>((u + (0x7fffu + ((u >> 16) & 1u))) >> 16);
}

// 2^(e - 128): half of the E8M0 value, because the E2M1 codebook stores doubled values. e = 0 and 1 are subnormal.
BQ_HD float e8m0_half_to_f32(std::uint32_t e) { return f32_from_bits(e < 2 ? 0x00200000u << e : (e - 1) << 23); }

// Half of an unsigned E4M3 value (bias 7): 0 and 0x7f (NaN) are zero. 8 bits, the top one unused.
BQ_HD float ue4m3_half_to_f32(std::uint32_t x) {
  if (x == 0 || x == 0x7f) return 0.0f;
  const std::uint32_t exponent = x >> 3 & 15u, mantissa = x & 7u;
  if (exponent == 0) return static_cast<float>(mantissa) * 0x1p-10f;
  return f32_from_bits((exponent + 119u) << 23 | mantissa << 20);
}

// The UE4M3 value nearest to x (not halved), halves upwards; 0 for NaN and what is not positive. As in ggml, a
// subnormal never rounds up to 2^-6, and what would become a value from 256 to 416 becomes the largest, 448.
BQ_HD std::uint8_t ue4m3_from_f32(float x) {
  if (!(x > 0.0f)) return 0;
  if (x >= 256.0f) return 0x7e;
  if (x < 0x1p-6f) {  // subnormal: steps of 2^-9
    const int steps = static_cast<int>(x * 512.0f + 0.5f);
    return static_cast<std::uint8_t>(steps < 7 ? steps : 7);
  }
  const std::uint32_t rounded = (f32_to_bits(x) + 0x00080000u) >> 20;  // exponent and three fraction bits
  const std::uint32_t code = rounded - (120u << 3);
  return static_cast<std::uint8_t>(code < 0x78u ? code : 0x7eu);
}

}  // namespace bq
