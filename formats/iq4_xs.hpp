// IQ4_XS: 256 weights in 8 groups, 136 bytes, 4.25 bits per weight.  weight = d * (scale[g] - 32) * value[q]
//
//   byte   0         2                      4                      8                                     136
//          | d (f16) | scale bits 4-5 (u16) | low 4 bits of scales | q: 16 bytes per group, as in IQ4_NL |
//
//   scale[g]: low bits in byte 4 + g / 2 (even g in the low nibble), bits 4-5 at bits 2g .. 2g+1 of the 16-bit number
#pragma once
#include <array>

#include "iq4.hpp"
#include "packing.hpp"
#include "word.hpp"

namespace bq {

struct iq4_xs {
  static constexpr const char* name = "iq4_xs";
  static constexpr type id = type::iq4_xs;
  static constexpr int block_size = 256, group = 32, code_bits = 4, zero = 0;
  static constexpr bool uses_importance = true;
  static constexpr float max_rmse = 0.0795f;

  struct [[gnu::packed]] block {
    std::uint16_t d, scales_h;
    std::uint8_t scales_l[4], qs[128];
  };
  static_assert(sizeof(block) == 136);
  static constexpr std::array<plane, 4> planes() {
    return {{{0, 2, 2, true}, {2, 2, 2, true}, {4, 4, 4, false}, {8, 128, 4, false}}};
  }

  BQ_HD static constexpr codebook16 codebook() { return iq4_codebook(); }
  template <class S>
  BQ_HD static auto codes(const S& s, int w) {
    return s.template plane<4, 16>(8, w);
  }
  template <class S>
  BQ_HD static auto d(const S& s, int) {
    return s.f16(0);
  }

  // Nibble j of `low` and pair j of `high` move to byte j.
  template <class S>
  BQ_HD static auto scales(const S& s, int w) {
    const auto low = s.load(4) >> (16 * w), high = s.load16(2) >> (8 * w);
    const auto nibbles = (low & 0x0fu) | (low << 4 & 0x0f00u) | (low << 8 & 0x0f0000u) | (low << 12 & 0x0f000000u);
    const auto pairs = (high & 0x03u) | (high << 6 & 0x0300u) | (high << 12 & 0x030000u) | (high << 18 & 0x03000000u);
    return signed_bytes(nibbles | pairs << 4, 32);
  }

  template <class L>
  BQ_BOTH static void quantize(const typename L::reals* x, const block_importance<L>& importance,
                               const typename L::template blocks<iq4_xs>& out) {
    using reals = typename L::reals;
    reals w[group], scales[8];
    typename L::ints codes[block_size], low = 0, high = 0;
    const reals variance = iq4_variance<L>(x, block_size);
    for (int g = 0; g < 8; ++g) {
      iq4_weights<L>(x + 32 * g, importance.weight ? importance.weight + 32 * g : nullptr, group, variance, w);
      scales[g] = iq4_search<L>(x + 32 * g, w);
    }
    const reals d = L::negate(extreme<L>(scales, 8)) / 32.0f, inverse = divide_or_zero<L>(1.0f, d);
    for (int g = 0; g < 8; ++g) {
      const auto scale = nearest_int<L>(inverse * scales[g], -32, 31), level = scale + 32;
      iq4_round<L>(x + 32 * g, d * L::to_reals(scale), 32, codes + 32 * g);
      low = low | (level & 15) << (4 * g);
      high = high | (level >> 4) << (2 * g);
    }
    out.store16(0, f16_bits<L>(d));
    out.store16(2, high);
    out.store(4, low);
    pack_plane<L, 4, 16>(out, 8, codes, block_size);
  }
};

}  // namespace bq
