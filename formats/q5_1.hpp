// Q5_1: 32 weights, 24 bytes, 6 bits per weight.  weight = d * q + m
//
//   byte   0         2         4                        8                                                         24
//          | d (f16) | m (f16) | bit 4 of q[0] .. q[31] | low 4 bits: q[0] | q[16] << 4   ...   q[15] | q[31] << 4 |
//
// As Q4_1 with one more bit, which lies in a 32-bit number: bit i belongs to q[i].
#pragma once
#include <array>

#include "packing.hpp"
#include "quantize32.hpp"
#include "word.hpp"

namespace bq {

struct q5_1 {
  static constexpr const char* name = "q5_1";
  static constexpr type id = type::q5_1;
  static constexpr int block_size = 32, group = 32, code_bits = 5, zero = 0;
  static constexpr bool uses_importance = true, uses_row_mean_square = true;
  static constexpr float max_rmse = 0.039f;

  struct [[gnu::packed]] block {
    std::uint16_t d, m;
    std::uint8_t qh[4], qs[16];
  };
  static_assert(sizeof(block) == 24);
  static constexpr std::array<plane, 4> planes() {
    return {{{0, 2, 2, true}, {2, 2, 2, true}, {4, 4, 4, true}, {8, 16, 4, false}}};
  }

  template <class S>
  BQ_HD static auto codes(const S& s, int w) {
    return s.template plane<4, 16>(8, w) | s.spread(4, w) << 4;
  }
  template <class S>
  BQ_HD static auto d(const S& s, int) {
    return s.f16(0);
  }
  template <class S>
  BQ_HD static auto dmin(const S& s) {
    return -s.f16(2);
  }

  template <class L>
  BQ_BOTH static void quantize(const typename L::reals* x, const block_importance<L>& importance,
                               const typename L::template blocks<q5_1>& out) {
    typename L::ints codes[block_size];
    typename L::reals m;
    out.store16(0, f16_bits<L>(affine_quantize<L, 31>(x, importance, codes, &m)));
    out.store16(2, f16_bits<L>(m));
    pack_bits<L>(out, 4, codes, 4);
    pack_plane<L, 4, 16>(out, 8, codes, block_size);
  }
};

}  // namespace bq
