// Q6_K: 256 weights in 16 groups, 210 bytes, 6.5625 bits per weight.  weight = d * scale[g] * (q - 32)
//
//   byte   0                 128              192                 208       210
//          | low 4 bits of q | bits 4-5 of q  | scale[g] (i8)     | d (f16) |
//
//   byte 64c + k (k < 64):       q[128c + k] | q[128c + 64 + k] << 4
//   byte 128 + 32c + k (k < 32): q[128c + k] | q[128c + 32 + k] << 2 | q[128c + 64 + k] << 4 | q[128c + 96 + k] << 6
#pragma once
#include <array>

#include "packing.hpp"
#include "superblock.hpp"

namespace bq {

struct q6_K {
  static constexpr const char* name = "q6_K";
  static constexpr type id = type::q6_K;
  static constexpr int block_size = 256, group = 16, code_bits = 6, zero = 32;
  static constexpr bool uses_importance = true;
  static constexpr float max_rmse = 0.0184f;

  struct [[gnu::packed]] block {
    std::uint8_t ql[128], qh[64];
    std::int8_t scales[16];
    std::uint16_t d;
  };
  static_assert(sizeof(block) == 210);
  static constexpr std::array<plane, 4> planes() {
    return {{{0, 128, 4, false}, {128, 64, 4, false}, {192, 16, 4, false}, {208, 2, 2, true}}};
  }

  template <class S>
  BQ_HD static auto codes(const S& s, int w) {
    return s.template plane<4, 64>(0, w) | s.template plane_at<2, 32, 4>(128, w);
  }
  template <class S>
  BQ_HD static auto d(const S& s, int) {
    return s.f16(208);
  }
  template <class S>
  BQ_HD static auto scales(const S& s, int w) {
    return s.load(192 + 4 * w);
  }

  template <class L>
  BQ_BOTH static void quantize(const typename L::reals* x, const block_importance<L>& importance,
                               const typename L::template blocks<q6_K>& out) {
    using reals = typename L::reals;
    typename L::ints codes[block_size];
    reals w[group], scales[16];
    for (int g = 0; g < 16; ++g) {
      if (!importance.weight) squares<L>(x + 16 * g, group, w);
      const reals* weights = importance.weight ? importance.weight + 16 * g : w;
      scales[g] = symmetric_search<L>(x + 16 * g, weights, group, zero, codes + 16 * g);
    }
    const reals top = extreme<L>(scales, 16), inverse = -128.0f / top;
    const auto zeros = L::abs(top) < negligible;  // the whole block is then zero bytes
    typename L::ints levels[16];
    for (int g = 0; g < 16; ++g) levels[g] = L::select(zeros, 0, L::min(127, nearest_int<L>(inverse * scales[g])));
    pack_plane<L, 8, 16>(out, 192, levels, 16);
    out.store16(208, f16_bits<L>(L::select(zeros, 0.0f, 1.0f / inverse)));
    requantize<L, q6_K>(x, out, codes);
    for (auto& code : codes) code = L::select(zeros, 0, code);
    pack_plane<L, 4, 64>(out, 0, codes, block_size);
    pack_plane<L, 2, 32>(out, 128, codes, block_size, 4);
  }
};

}  // namespace bq
