// Q8_0: 32 weights, 34 bytes, 8.5 bits per weight.  weight = d * q
//
//   byte   0         2                                34
//          | d (f16) | q[0] (i8)   ...     q[31] (i8) |
//
// Codes are q + 128, so that unsigned byte products can take them; zero = 128 brings them back. Importance does not
// change the result: every code is the nearest one.
#pragma once
#include <array>

#include "packing.hpp"
#include "quantize32.hpp"
#include "word.hpp"

namespace bq {

struct q8_0 {
  static constexpr const char* name = "q8_0";
  static constexpr type id = type::q8_0;
  static constexpr int block_size = 32, group = 32, code_bits = 8, zero = 128;
  static constexpr float max_rmse = 0.0055f;

  struct [[gnu::packed]] block {
    std::uint16_t d;
    std::int8_t q[32];
  };
  static_assert(sizeof(block) == 34);
  static constexpr std::array<plane, 2> planes() { return {{{0, 2, 2, true}, {2, 32, 4, false}}}; }

  template <class S>
  BQ_HD static auto codes(const S& s, int w) {
    return s.template plane<8, 32>(2, w) ^ 0x80808080u;
  }
  template <class S>
  BQ_HD static auto d(const S& s, int) {
    return s.f16(0);
  }

  template <class L>
  BQ_BOTH static void quantize(const typename L::reals* x, const block_importance<L>&,
                               const typename L::template blocks<q8_0>& out) {
    typename L::ints q[block_size];
    out.store16(0, f16_bits<L>(nearest_bytes<L>(x, q)));
    pack_plane<L, 8, 32>(out, 2, q, block_size);
  }
};

}  // namespace bq
