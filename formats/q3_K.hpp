// Q3_K: 256 weights in 16 groups, 110 bytes, 3.4375 bits per weight.  weight = d * (scale[g] - 32) * (q - 4)
//
//   byte   0            32                96                   108       110
//          | bit 2 of q | low 2 bits of q | scale[g], 6 bits   | d (f16) |
//
//   byte k, bit j:   bit 2 of q[32j + k]
//   byte 32 + 32c + k: q[128c + k] | q[128c + 32 + k] << 2 | q[128c + 64 + k] << 4 | q[128c + 96 + k] << 6
//   byte 96 + j (j < 8): low 4 bits of scale[j] | scale[8 + j] << 4
//   byte 104 + j (j < 4): bits 4-5 of scale[j] | scale[4 + j] << 2 | scale[8 + j] << 4 | scale[12 + j] << 6
#pragma once
#include <array>

#include "packing.hpp"
#include "superblock.hpp"

namespace bq {

struct q3_K {
  static constexpr const char* name = "q3_K";
  static constexpr type id = type::q3_K;
  static constexpr int block_size = 256, group = 16, code_bits = 3, zero = 4;
  static constexpr int scale_low = -32, scale_high = 31;
  static constexpr bool uses_importance = true;
  static constexpr float max_rmse = 0.156f;

  struct [[gnu::packed]] block {
    std::uint8_t hmask[32], qs[64], scales[12];
    std::uint16_t d;
  };
  static_assert(sizeof(block) == 110);
  static constexpr std::array<plane, 4> planes() {
    return {{{0, 32, 4, false}, {32, 64, 4, false}, {96, 12, 4, false}, {108, 2, 2, true}}};
  }

  template <class S>
  BQ_HD static auto codes(const S& s, int w) {
    return s.template plane<2, 32>(32, w) | s.template plane_at<1, 32, 2>(0, w);
  }
  template <class S>
  BQ_HD static auto d(const S& s, int) {
    return s.f16(108);
  }
  template <class S>
  BQ_HD static auto scales(const S& s, int w) {
    return signed_bytes(s.template plane<4, 8>(96, w) | s.template plane<2, 4>(104, w) << 4, 32);
  }

  template <class L>
  BQ_BOTH static void quantize(const typename L::reals* x, const block_importance<L>& importance,
                               const typename L::template blocks<q3_K>& out) {
    typename L::ints codes[block_size], levels[16];
    const auto scale =
        importance.weight ? search_weighted<L>(x, importance.weight, codes, levels) : search<L>(x, codes, levels);
    out.store16(108, f16_bits<L>(scale));
    pack_plane<L, 4, 8>(out, 96, levels, 16);
    pack_plane<L, 2, 4>(out, 104, levels, 16, 4);
    requantize<L, q3_K>(x, out, codes);
    pack_plane<L, 1, 32>(out, 0, codes, block_size, 2);
    pack_plane<L, 2, 32>(out, 32, codes, block_size);
  }

 private:
  // Both fill codes [256] and levels [16] (scale + 32; 0 if the block is zero), and return d.
  template <class L>
  BQ_BOTH static typename L::reals search(const typename L::reals* x, typename L::ints* codes,
                                          typename L::ints* levels) {
    using reals = typename L::reals;
    reals w[group], scales[16];
    for (int g = 0; g < 16; ++g) {
      squares<L>(x + 16 * g, group, w);
      scales[g] = symmetric_descent<L>(x + 16 * g, w, group, zero, codes + 16 * g);
    }
    const reals top = extreme<L>(scales, 16), inverse = -32.0f / top;
    const auto zeros = top == 0.0f;
    for (int g = 0; g < 16; ++g) levels[g] = L::select(zeros, 0, nearest_int<L>(inverse * scales[g], -32, 31) + 32);
    return L::select(zeros, 0.0f, 1.0f / inverse);
  }

  template <class L>
  BQ_BOTH static typename L::reals search_weighted(const typename L::reals* x, const typename L::reals* importance,
                                                   typename L::ints* codes, typename L::ints* levels) {
    using reals = typename L::reals;
    reals w[group], scales[16], group_weights[16];
    const reals variance = superblock_variance<L>(x, 2);
    for (int g = 0; g < 16; ++g) {
      importance_weights<L>(x + 16 * g, importance + 16 * g, group, variance, w);
      group_weights[g] = sum<L>(w, group);
      scales[g] = symmetric_search<L>(x + 16 * g, w, group, zero, codes + 16 * g);
    }
    return symmetric_search<L>(scales, group_weights, 16, 32, levels);
  }
};

}  // namespace bq
