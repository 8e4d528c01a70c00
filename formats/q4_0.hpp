// Q4_0: 32 weights, 18 bytes, 4.5 bits per weight.  weight = d * (q - 8)
//
//   byte   0         2                                               18
//          | d (f16) | q[0] | q[16] << 4   ...   q[15] | q[31] << 4  |
//
// The weight of largest magnitude gets code 0 (-8), so d has the opposite sign; with importance, the best of 19 scales.
#pragma once
#include <array>

#include "packing.hpp"
#include "quantize32.hpp"
#include "word.hpp"

namespace bq {

struct q4_0 {
  static constexpr const char* name = "q4_0";
  static constexpr type id = type::q4_0;
  static constexpr int block_size = 32, group = 32, code_bits = 4, zero = 8;
  static constexpr bool uses_importance = true, uses_row_mean_square = true;
  static constexpr float max_rmse = 0.089f;

  struct [[gnu::packed]] block {
    std::uint16_t d;
    std::uint8_t qs[16];
  };
  static_assert(sizeof(block) == 18);
  static constexpr std::array<plane, 2> planes() { return {{{0, 2, 2, true}, {2, 16, 4, false}}}; }

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
                               const typename L::template blocks<q4_0>& out) {
    typename L::ints codes[block_size];
    out.store16(0, f16_bits<L>(symmetric_quantize<L, zero>(x, importance, codes)));
    pack_plane<L, 4, 16>(out, 2, codes, block_size);
  }
};

}  // namespace bq
