// Activations as the products take them, whatever the weights' format: int8 codes with one f32 scale for each token and
// run of 32 columns, and the sums of the codes of each half of a run. In the precise tier a code has 16 bits, as two
// planes of digits from -127 to 127: 255 * high + low. (A digit of -128 would overflow where a product's sign goes to
// the activation.)
//
//   d = max |x| / limit, code = x / d rounded to nearest even; limit 127, or 127 * 256 for two planes
//
// A run with a NaN or an infinity gets d = NaN, so that every output of its token is NaN. A run whose largest value is
// below 2^-100 counts as zero.
#pragma once
#include <cstddef>
#include <cstdint>
#include <new>

#include "panel.hpp"

namespace bq::cpu {

// Pointers into memory in stretches of panel_cols columns: a panel meets all tokens before the next one comes, and rows
// that are powers of two apart would fight for the same cache lines. What lies beyond `cols` is zero.
struct activations {
  static constexpr int panel_runs = panel_cols / run;
  static constexpr std::align_val_t alignment{64};
  std::int64_t cols, tokens;
  int planes;
  std::int8_t* codes;  // [panels][tokens][planes][panel_cols]
  float* d;            // [panels][tokens][panel_runs]
  std::int32_t* sums;  // [panels][tokens][planes][2][panel_runs]: of the codes of the runs' first and second halves

  BQ_HD std::int64_t panels() const { return (cols + panel_cols - 1) / panel_cols; }
  BQ_HD std::int8_t* codes_of(std::int64_t panel, std::int64_t token, int plane) const {
    return codes + ((panel * tokens + token) * planes + plane) * panel_cols;
  }
  BQ_HD float* d_of(std::int64_t panel, std::int64_t token) const { return d + (panel * tokens + token) * panel_runs; }
  BQ_HD std::int32_t* sums_of(std::int64_t panel, std::int64_t token, int plane) const {
    return sums + ((panel * tokens + token) * planes + plane) * 2 * panel_runs;
  }

  // What codes, d and sums take together; and their division of so many bytes, aligned.
  BQ_HD std::size_t bytes() const {
    const int sums_and_d = (2 * planes + 1) * panel_runs * static_cast<int>(sizeof(float));
    return static_cast<std::size_t>(panels() * tokens * (planes * panel_cols + sums_and_d));
  }
  BQ_HD void place(std::byte* memory) {
    const std::int64_t stretches = panels() * tokens;
    codes = reinterpret_cast<std::int8_t*>(memory);
    d = reinterpret_cast<float*>(codes + stretches * planes * panel_cols);
    sums = reinterpret_cast<std::int32_t*>(d + stretches * panel_runs);
  }
};

// What lies beyond the last column.
BQ_HD void clear_beyond(const activations& out, std::int64_t token) {
  const std::int64_t panel = out.panels() - 1;
  const auto runs = static_cast<std::size_t>(out.cols / run - panel * activations::panel_runs);
  const std::size_t beyond = activations::panel_runs - runs;
  memset(out.d_of(panel, token) + runs, 0, beyond * sizeof(float));
  for (int p = 0; p < out.planes; ++p) {
    memset(out.codes_of(panel, token, p) + runs * run, 0, beyond * run);
    for (int h = 0; h < 2; ++h) {
      memset(out.sums_of(panel, token, p) + h * activations::panel_runs + runs, 0, beyond * sizeof(std::int32_t));
    }
  }
}

// Quantises tokens [first, last) of x [tokens][stride >= cols] into the same tokens of `out`.
template <class V>
void quantize_activations(const float* x, std::int64_t stride, std::int64_t first, std::int64_t last,
                          const activations& out) noexcept {
  constexpr int half = run / 2;
  const float limit = out.planes == 2 ? 127.0f * 256.0f : 127.0f;
  constexpr float round = 12582912.0f;  // adding it leaves no fraction bits: rounds to nearest even
  for (std::int64_t token = first; token < last; ++token) {
    for (std::int64_t k = 0; k < out.cols / run; ++k) {
      const std::int64_t panel = k / activations::panel_runs, r = k % activations::panel_runs;
      std::int8_t* high = out.codes_of(panel, token, 0);
      std::int8_t* low = out.planes == 2 ? out.codes_of(panel, token, 1) : nullptr;
      const float* v = x + token * stride + k * run;
      std::uint32_t largest = 0;  // as bits, so that NaN is larger than everything
      for (int i = 0; i < run; ++i) largest = std::max(largest, f32_to_bits(v[i]) & 0x7fffffffu);
      const float top = f32_from_bits(largest);
      const bool usable = largest < 0x7f800000u && top >= 0x1p-100f;
      const float inverse = usable ? limit / top : 0.0f;
      const float d = usable ? top / limit : largest < 0x7f800000u ? 0.0f : f32_from_bits(0x7fc00000u);

      // Loops of one kind over one half each: that is what compilers make vectors of.
      std::int32_t sums[2][2] = {};  // [plane][half]
      for (int h = 0; h < 2; ++h) {
        std::int32_t code[half], digit[half];
        for (int i = 0; i < half; ++i) {
          const float product = usable ? v[h * half + i] * inverse : 0.0f;
          code[i] = static_cast<std::int32_t>(f32_to_bits(product + round)) - 0x4b400000;
        }
        std::int8_t* to = high + r * run + h * half;
        if (low) {
          for (int i = 0; i < half; ++i) {
            const float quotient = static_cast<float>(code[i]) * (1.0f / 255.0f);
            digit[i] = static_cast<std::int32_t>(f32_to_bits(quotient + round)) - 0x4b400000;
          }
          for (int i = 0; i < half; ++i) code[i] -= 255 * digit[i];
          for (int i = 0; i < half; ++i) to[i] = static_cast<std::int8_t>(digit[i]);
          for (int i = 0; i < half; ++i) sums[0][h] += digit[i];
          for (int i = 0; i < half; ++i) sums[1][h] += code[i];
          to = low + r * run + h * half;
        } else {
          for (int i = 0; i < half; ++i) sums[0][h] += code[i];
        }
        for (int i = 0; i < half; ++i) to[i] = static_cast<std::int8_t>(code[i]);
      }

      out.d_of(panel, token)[r] = d;
      for (int p = 0; p < out.planes; ++p) {
        for (int h = 0; h < 2; ++h) out.sums_of(panel, token, p)[h * activations::panel_runs + r] = sums[p][h];
      }
    }
    clear_beyond(out, token);
  }
}

}  // namespace bq::cpu
