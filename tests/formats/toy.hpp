// A format that the library does not know: 16 weights, 6 bytes, 3 bits per weight.  weight = 2^(e - 128) * scale[g] *
// (q - 1)
//
//   byte   0          1                          2             6
//          | e        | scale[0] | scale[1] << 4 | q, 2 bits   |
//
//   byte 2 + k: q[k] | q[4 + k] << 2 | q[8 + k] << 4 | q[12 + k] << 6
#pragma once
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
  template <class L>
  static void quantize(const typename L::reals* x, const bq::block_importance<L>&,
                       const typename L::template blocks<toy>& out) {
    using reals = typename L::reals;
    const reals target[2] = {bq::max_abs<L>(x, 8) * 0.6f, bq::max_abs<L>(x + 8, 8) * 0.6f};
    const reals largest = L::select(target[0] > target[1], target[0], target[1]);
    const auto exponent =
        L::each(L::select(largest > 1e-30f, largest, 1e-30f), [](float v) { return std::ilogb(v) - 3; });
    const reals unit = L::each(exponent, [](std::int32_t e) { return std::ldexp(1.0f, e); });
    typename L::ints codes[block_size], scales[2];
    for (int g = 0; g < 2; ++g) {
      scales[g] = L::truncate(target[g] / unit);
      const reals scale = L::to_reals(scales[g]) * unit;
      for (int i = 8 * g; i < 8 * g + 8; ++i)
        codes[i] = L::select(scale > 0.0f, bq::nearest_int<L>(x[i] / scale, -1, 2) + 1, 1);
    }
    out.store8(0, exponent + 128);
    out.store8(1, scales[0] | scales[1] << 4);
    bq::pack_plane<L, 2, 4>(out, 2, codes, block_size);
  }
};
