// Q8_1: 32 activations, 36 bytes, 9 bits each.  activation = d * q
//
//   byte   0         2         4                                36
//          | d (f16) | s (f16) | q[0] (i8)   ...     q[31] (i8) |
//
// s = d * (q[0] + ... + q[31]) meets the minimum of Q4_1 and Q5_1 in a dot product: it does not take part in decoding.
#pragma once
#include <array>

#include "packing.hpp"
#include "quantize32.hpp"
#include "word.hpp"

namespace bq {

struct q8_1 {
  static constexpr const char* name = "q8_1";
  static constexpr type id = type::q8_1;
  static constexpr int block_size = 32, group = 32, code_bits = 8, zero = 128;
  static constexpr bool activation_only = true;
  static constexpr float max_rmse = 0.0055f;

  struct [[gnu::packed]] block {
    std::uint16_t d, s;
    std::int8_t q[32];
  };
  static_assert(sizeof(block) == 36);
  static constexpr std::array<plane, 3> planes() { return {{{0, 2, 2, true}, {2, 2, 2, true}, {4, 32, 4, false}}}; }

  template <class S>
  BQ_HD static auto codes(const S& s, int w) {
    return s.template plane<8, 32>(4, w) ^ 0x80808080u;
  }
  template <class S>
  BQ_HD static auto d(const S& s, int) {
    return s.f16(0);
  }
  template <class S>
  BQ_HD static bool valid(const S& s) {
    return (s.load16(2) & 0x7c00u) != 0x7c00u;
  }

  template <class L>
  BQ_BOTH static void quantize(const typename L::reals* x, const block_importance<L>&,
                               const typename L::template blocks<q8_1>& out) {
    typename L::ints q[block_size], total = 0;
    const typename L::reals scale = nearest_bytes<L>(x, q);
    for (int i = 0; i < block_size; ++i) total = total + q[i];
    out.store16(0, f16_bits<L>(scale));
    out.store16(2, f16_bits<L>(L::to_reals(total) * scale));
    pack_plane<L, 8, 32>(out, 4, q, block_size);
  }
};

}  // namespace bq
