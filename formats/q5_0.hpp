// Q5_0: 32 weights, 22 bytes, 5.5 bits per weight.  weight = d * (q - 16)
//
//   byte   0         2                        6                                                         22
//          | d (f16) | bit 4 of q[0] .. q[31] | low 4 bits: q[0] | q[16] << 4   ...   q[15] | q[31] << 4 |
//
// As Q4_0 with one more bit, which lies in a 32-bit number: bit i belongs to q[i].
#pragma once
#include <array>

#include "packing.hpp"
#include "quantize32.hpp"
#include "word.hpp"

namespace bq {

struct q5_0 {
  static constexpr const char* name = "q5_0";
  static constexpr type id = type::q5_0;
  static constexpr int block_size = 32, group = 32, code_bits = 5, zero = 16;
  static constexpr bool uses_importance = true, uses_row_mean_square = true;
  static constexpr float max_rmse = 0.044f;

  struct [[gnu::packed]] block {
    std::uint16_t d;
    std::uint8_t qh[4], qs[16];
  };
  static_assert(sizeof(block) == 22);
  static constexpr std::array<plane, 3> planes() { return {{{0, 2, 2, true}, {2, 4, 4, true}, {6, 16, 4, false}}}; }

  template <class S>
  BQ_HD static auto codes(const S& s, int w) {
    return s.template plane<4, 16>(6, w) | s.spread(2, w) << 4;
  }
  template <class S>
  BQ_HD static auto d(const S& s, int) {
    return s.f16(0);
  }

  template <class L>
  BQ_BOTH static void quantize(const typename L::reals* x, const block_importance<L>& importance,
                               const typename L::template blocks<q5_0>& out) {
    typename L::ints codes[block_size];
    out.store16(0, f16_bits<L>(symmetric_quantize<L, zero>(x, importance, codes)));
    pack_bits<L>(out, 2, codes, 4);
    pack_plane<L, 4, 16>(out, 6, codes, block_size);
  }
};

}  // namespace bq
