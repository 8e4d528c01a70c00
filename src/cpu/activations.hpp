// Activations as the products take them: int8 codes with one f32 scale for each token and run of 32 columns, and what
// the products need of their sums. In the precise tier a code has 16 bits, as two planes of digits from -127 to 127:
// 255 * high + low. (A digit of -128 would overflow where a product's sign goes to the activation.)
//
//   d = max |x| / limit, code = x / d rounded to nearest even; limit 127, or 127 * 256 for two planes
//
// A run with a NaN or an infinity gets d = NaN, so that every output of its token is NaN. A run whose largest value is
// below 2^-100 counts as zero.
#pragma once
#include <cstdint>

#include "panel.hpp"

namespace bq::cpu {

// Pointers into the product's workspace. `pieces` are runs, or halves of them.
struct activations {
  std::int8_t* codes;    // [tokens][planes][cols]
  float* d;              // [tokens][runs]
  std::int32_t* offset;  // [tokens][planes][scale pieces]: -zero * sum of the piece's codes
  float* sum;            // [tokens][minimum pieces]: d * sum of the piece's codes
  std::int64_t cols;     // a multiple of 32
  int planes, parts, minimums;

  BQ_HD std::int64_t runs() const { return cols / run; }
  BQ_HD std::int8_t* codes_of(std::int64_t token, int plane) const { return codes + (token * planes + plane) * cols; }
  BQ_HD float* d_of(std::int64_t token) const { return d + token * runs(); }
  BQ_HD std::int32_t* offset_of(std::int64_t token, int plane) const {
    return offset + (token * planes + plane) * runs() * parts;
  }
  BQ_HD float* sum_of(std::int64_t token) const { return sum + token * runs() * minimums; }
};

// Bytes of each array, for `tokens` tokens.
struct activation_bytes {
  std::int64_t codes, d, offset, sum;
};

// Quantises x [tokens][stride >= cols] into token `first` and the following ones of `out`, for a product of kind
// `kind`.
template <class V>
void quantize_activations(const float* x, std::int64_t stride, std::int64_t first, std::int64_t last,
                          const panel_kind& kind, const activations& out) noexcept {
  constexpr int half = run / 2;
  const float limit = out.planes == 2 ? 127.0f * 256.0f : 127.0f;
  constexpr float round = 12582912.0f;  // adding it leaves no fraction bits: rounds to nearest even
  for (std::int64_t token = first; token < last; ++token) {
    std::int8_t* high = out.codes_of(token, 0);
    std::int8_t* low = out.planes == 2 ? out.codes_of(token, 1) : nullptr;
    for (std::int64_t r = 0; r < out.runs(); ++r) {
      const float* v = x + token * stride + r * run;
      std::uint32_t largest = 0;  // as bits, so that NaN is larger than everything
      for (int i = 0; i < run; ++i) largest = std::max(largest, f32_to_bits(v[i]) & 0x7fffffffu);
      const float top = f32_from_bits(largest);
      const bool usable = largest < 0x7f800000u && top >= 0x1p-100f;
      const float inverse = usable ? limit / top : 0.0f;
      const float d = usable ? top / limit : largest < 0x7f800000u ? 0.0f : f32_from_bits(0x7fc00000u);

      std::int32_t code[run];
      for (int i = 0; i < run; ++i) {
        const float product = usable ? v[i] * inverse : 0.0f;
        code[i] = static_cast<std::int32_t>(f32_to_bits(product + round)) - 0x4b400000;
      }
      std::int32_t sums[2][2] = {};  // [plane][half]
      if (low) {
        for (int i = 0; i < run; ++i) {
          const float digit = static_cast<float>(code[i]) * (1.0f / 255.0f);
          const std::int32_t h = static_cast<std::int32_t>(f32_to_bits(digit + round)) - 0x4b400000;
          high[r * run + i] = static_cast<std::int8_t>(h);
          low[r * run + i] = static_cast<std::int8_t>(code[i] - 255 * h);
        }
        for (int i = 0; i < run; ++i) sums[1][i / half] += low[r * run + i];
      } else {
        for (int i = 0; i < run; ++i) high[r * run + i] = static_cast<std::int8_t>(code[i]);
      }
      for (int i = 0; i < run; ++i) sums[0][i / half] += high[r * run + i];

      out.d_of(token)[r] = d;
      for (int p = 0; p < out.planes; ++p) {
        std::int32_t* offset = out.offset_of(token, p) + r * out.parts;
        if (out.parts == 1)
          offset[0] = -kind.zero * (sums[p][0] + sums[p][1]);
        else
          for (int h = 0; h < 2; ++h) offset[h] = -kind.zero * sums[p][h];
      }
      const auto total = [&](int h) { return out.planes == 2 ? sums[0][h] * 255 + sums[1][h] : sums[0][h]; };
      float* sum = out.sum_of(token) + r * out.minimums;
      if (out.minimums == 1)
        sum[0] = d * static_cast<float>(total(0) + total(1));
      else
        for (int m = 0; m < out.minimums; ++m) sum[m] = d * static_cast<float>(total(m));
    }
  }
}

}  // namespace bq::cpu
