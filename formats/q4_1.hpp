// Q4_1: 32 weights, 20 bytes, 5 bits per weight.  weight = d * q + m
//
//   byte   0         2         4                                              20
//          | d (f16) | m (f16) | q[0] | q[16] << 4   ...   q[15] | q[31] << 4 |
//
// The range of the weights is divided into 15 steps; with importance, the best of 37 least-squares fits. The contract
// subtracts a minimum, so dmin is -m.
#pragma once
#include <array>

#include "packing.hpp"
#include "quantize32.hpp"
#include "word.hpp"

namespace bq {

struct q4_1 {
  static constexpr const char* name = "q4_1";
  static constexpr type id = type::q4_1;
  static constexpr int block_size = 32, group = 32, code_bits = 4, zero = 0;
  static constexpr bool uses_importance = true, uses_row_mean_square = true;
  static constexpr float max_rmse = 0.081f;

  struct [[gnu::packed]] block {
    std::uint16_t d, m;
    std::uint8_t qs[16];
  };
  static_assert(sizeof(block) == 20);
  static constexpr std::array<plane, 3> planes() { return {{{0, 2, 2, true}, {2, 2, 2, true}, {4, 16, 4, false}}}; }

  template <class S>
  BQ_HD static auto codes(const S& s, int w) {
    return s.template plane<4, 16>(4, w);
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
                               const typename L::template blocks<q4_1>& out) {
    typename L::ints codes[block_size];
    typename L::reals m;
    out.store16(0, f16_bits<L>(affine_quantize<L, 15>(x, importance, codes, &m)));
    out.store16(2, f16_bits<L>(m));
    pack_plane<L, 4, 16>(out, 4, codes, block_size);
  }
};

}  // namespace bq
