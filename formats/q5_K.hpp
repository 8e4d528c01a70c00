// Q5_K: 256 weights in 8 groups, 176 bytes, 5.5 bits per weight.  weight = d * scale[g] * q - dmin * min[g]
//
//   byte   0         2            4                                            16            48               176
//          | d (f16) | dmin (f16) | scales and minimums, 6 bits (k_scales.hpp) | bit 4 of q  | low 4 bits of q |
//
//   byte 16 + k, bit j:  bit 4 of q[32j + k]          byte 48 + 32c + k: q[64c + k] | q[64c + 32 + k] << 4
#pragma once
#include <array>

#include "k_scales.hpp"
#include "packing.hpp"
#include "superblock.hpp"

namespace bq {

struct q5_K {
  static constexpr const char* name = "q5_K";
  static constexpr type id = type::q5_K;
  static constexpr int block_size = 256, group = 32, code_bits = 5, zero = 0;
  static constexpr bool uses_importance = true;
  static constexpr float max_rmse = 0.0375f;

  struct [[gnu::packed]] block {
    std::uint16_t d, dmin;
    std::uint8_t scales[12], qh[32], qs[128];
  };
  static_assert(sizeof(block) == 176);
  static constexpr std::array<plane, 5> planes() {
    return {{{0, 2, 2, true}, {2, 2, 2, true}, {4, 12, 4, false}, {16, 32, 4, false}, {48, 128, 4, false}}};
  }

  template <class S>
  BQ_HD static auto codes(const S& s, int w) {
    return s.template plane<4, 32>(48, w) | s.template plane_at<1, 32, 4>(16, w);
  }
  template <class S>
  BQ_HD static auto d(const S& s, int) {
    return s.f16(0);
  }
  template <class S>
  BQ_HD static auto scales(const S& s, int w) {
    return k_scales(s, 4, w);
  }
  template <class S>
  BQ_HD static auto dmin(const S& s) {
    return s.f16(2);
  }
  template <class S>
  BQ_HD static auto mins(const S& s, int w) {
    return k_mins(s, 4, w);
  }

  template <class L>
  BQ_BOTH static void quantize(const typename L::reals* x, const block_importance<L>& importance,
                               const typename L::template blocks<q5_K>& out) {
    constexpr affine_recipe recipe{31, 63, {-0.5f, 0.1f, 15, false}, true, 2};
    affine_superblock<L, group> s(x, importance.weight, recipe);
    for (int g = 0; g < 8; ++g) {  // a wrapped level (positive_search) becomes the largest; Q4_K packs its low bits
      s.scales[g] = L::min(s.scales[g], 63);
      s.mins[g] = L::min(s.mins[g], 63);
    }
    out.store16(0, s.d);
    out.store16(2, s.dmin);
    pack_k_scales<L>(out, 4, s.scales, s.mins);
    requantize<L, q5_K>(x, out, s.codes);
    pack_plane<L, 1, 32>(out, 16, s.codes, block_size, 4);
    pack_plane<L, 4, 32>(out, 48, s.codes, block_size);
  }
};

}  // namespace bq
