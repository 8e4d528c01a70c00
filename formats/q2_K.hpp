// Q2_K: 256 weights in 16 groups, 84 bytes, 2.625 bits per weight.  weight = d * scale[g] * q - dmin * min[g]
//
//   byte   0                            16              80        82           84
//          | scale[g] | min[g] << 4, g < 16 | q, 2 bits | d (f16) | dmin (f16) |
//
//   q byte 32c + k: q[128c + k] | q[128c + 32 + k] << 2 | q[128c + 64 + k] << 4 | q[128c + 96 + k] << 6
#pragma once
#include <array>

#include "packing.hpp"
#include "superblock.hpp"

namespace bq {

struct q2_K {
  static constexpr const char* name = "q2_K";
  static constexpr type id = type::q2_K;
  static constexpr int block_size = 256, group = 16, code_bits = 2, zero = 0;
  static constexpr int scale_low = 0, scale_high = 15;
  static constexpr bool uses_importance = true;
  static constexpr float max_rmse = 0.31f;

  struct [[gnu::packed]] block {
    std::uint8_t scales[16], qs[64];
    std::uint16_t d, dmin;
  };
  static_assert(sizeof(block) == 84);
  static constexpr std::array<plane, 4> planes() {
    return {{{0, 16, 4, false}, {16, 64, 4, false}, {80, 2, 2, true}, {82, 2, 2, true}}};
  }

  template <class S>
  BQ_HD static auto codes(const S& s, int w) {
    return s.template plane<2, 32>(16, w);
  }
  template <class S>
  BQ_HD static auto d(const S& s, int) {
    return s.f16(80);
  }
  template <class S>
  BQ_HD static auto scales(const S& s, int w) {
    return s.load(4 * w) & 0x0f0f0f0fu;
  }
  template <class S>
  BQ_HD static auto dmin(const S& s) {
    return s.f16(82);
  }
  template <class S>
  BQ_HD static auto mins(const S& s, int w) {
    return s.load(4 * w) >> 4 & 0x0f0f0f0fu;
  }

  template <class L>
  BQ_BOTH static void quantize(const typename L::reals* x, const block_importance<L>& importance,
                               const typename L::template blocks<q2_K>& out) {
    constexpr affine_recipe recipe{3, 15, {-0.5f, 0.1f, 15, true}, false, 1};
    affine_superblock<L, group> s(x, importance.weight, recipe);
    for (int g = 0; g < 16; ++g) s.scales[g] = s.scales[g] | s.mins[g] << 4;
    pack_plane<L, 8, 16>(out, 0, s.scales, 16);
    out.store16(80, s.d);
    out.store16(82, s.dmin);
    requantize<L, q2_K>(x, out, s.codes);
    pack_plane<L, 2, 32>(out, 16, s.codes, block_size);
  }
};

}  // namespace bq
