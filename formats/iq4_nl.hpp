// IQ4_NL: 32 weights, 18 bytes, 4.5 bits per weight.  weight = d * value[q]
//
//   byte   0         2                                              18
//          | d (f16) | q[0] | q[16] << 4   ...   q[15] | q[31] << 4 |
//
// value: the 16 signed entries of iq4.hpp.
#pragma once
#include <array>

#include "iq4.hpp"
#include "packing.hpp"
#include "word.hpp"

namespace bq {

struct iq4_nl {
  static constexpr const char* name = "iq4_nl";
  static constexpr type id = type::iq4_nl;
  static constexpr int block_size = 32, group = 32, code_bits = 4, zero = 0;
  static constexpr bool uses_importance = true;
  static constexpr float max_rmse = 0.079f;

  struct [[gnu::packed]] block {
    std::uint16_t d;
    std::uint8_t qs[16];
  };
  static_assert(sizeof(block) == 18);
  static constexpr std::array<plane, 2> planes() { return {{{0, 2, 2, true}, {2, 16, 4, false}}}; }

  BQ_HD static constexpr codebook16 codebook() { return iq4_codebook(); }
  template <class S>
  BQ_HD static auto codes(const S& s, int w) {
    return s.template plane<4, 16>(2, w);
  }
  template <class S>
  BQ_HD static auto d(const S& s, int) {
    return s.f16(0);
  }

  template <class L>
  BQ_BOTH static void quantize(const typename L::reals* x, const block_importance<L>& importance,
                               const typename L::template blocks<iq4_nl>& out) {
    typename L::reals w[block_size];
    typename L::ints codes[block_size];
    iq4_weights<L>(x, importance.weight, block_size, iq4_variance<L>(x, block_size), w);
    const typename L::reals scale = iq4_search<L>(x, w);
    out.store16(0, f16_bits<L>(scale));
    iq4_round<L>(x, scale, block_size, codes);
    pack_plane<L, 4, 16>(out, 2, codes, block_size);
  }
};

}  // namespace bq
