// A format that the library does not know: 16 weights, 6 bytes, 3 bits per weight.  weight = 2^(e - 128) * scale[g] *
// (q - 1)
//
//   byte   0          1                          2             6
//          | e        | scale[0] | scale[1] << 4 | q, 2 bits   |
//
//   byte 2 + k: q[k] | q[4 + k] << 2 | q[8 + k] << 4 | q[12 + k] << 6
#pragma once
#include <algorithm>
#include <array>
#include <cmath>

#include "formats/packing.hpp"
#include "formats/search.hpp"
#include "formats/word.hpp"

struct toy {
  static constexpr const char* name = "toy";
  static constexpr bq::type id = static_cast<bq::type>(9000);
  static constexpr int block_size = 16, group = 8, code_bits = 2, zero = 1;
  static constexpr float max_rmse = 0.38f;

  struct block {
    std::uint8_t e, scales, qs[4];
  };
  static_assert(sizeof(block) == 6);
  static constexpr std::array<bq::plane, 3> planes() {
    return {{{0, 1, 1, false}, {1, 1, 1, false}, {2, 4, 4, false}}};
  }

  template <class S>
  BQ_HD static auto codes(const S& s, int w) {
    return s.template plane<2, 4>(2, w);
  }
  template <class S>
  BQ_HD static auto d(const S& s, int) {
    return s.e8m0_half(0);
  }
  template <class S>
  BQ_HD static auto scales(const S& s, int) {
    return (s.load8(1) & 0x0fu) | (s.load8(1) >> 4) << 8;
  }

  // d is the power of two that brings the largest group's scale to 8 .. 15.
  static void quantize(const float* x, std::int64_t cols, block* out, const float*) {
    for (; cols > 0; cols -= block_size, x += block_size, ++out) {
      const float target[2] = {bq::max_abs(x, 8) * 0.6f, bq::max_abs(x + 8, 8) * 0.6f};
      const int exponent = std::ilogb(std::max({target[0], target[1], 1e-30f})) - 3;
      out->e = static_cast<std::uint8_t>(exponent + 128);
      std::uint8_t codes[block_size];
      int scales[2];
      for (int g = 0; g < 2; ++g) {
        scales[g] = bq::truncate(std::ldexp(target[g], -exponent));
        const float scale = std::ldexp(static_cast<float>(scales[g]), exponent);
        for (int i = 8 * g; i < 8 * g + 8; ++i) {
          codes[i] = static_cast<std::uint8_t>(scale > 0 ? std::clamp(bq::nearest_int(x[i] / scale), -1, 2) + 1 : 1);
        }
      }
      out->scales = static_cast<std::uint8_t>(scales[0] | scales[1] << 4);
      bq::pack_plane<2, 4>(out->qs, codes, block_size);
    }
  }
};
