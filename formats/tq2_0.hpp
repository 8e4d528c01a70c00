// TQ2_0: 256 ternary weights, 66 bytes, 2.0625 bits per weight.  weight = d * (q - 1)
//
//   byte   0             64        66
//          | q, 2 bits   | d (f16) |
//
//   q byte 32c + k: q[128c + k] | q[128c + 32 + k] << 2 | q[128c + 64 + k] << 4 | q[128c + 96 + k] << 6
//
// For weights that are -d, 0 or d already (BitNet b1.58, TriLM). The quantiser writes 0, 1, 2; code 3 decodes to 2 d.
#pragma once
#include <array>

#include "packing.hpp"
#include "ternary.hpp"
#include "word.hpp"

namespace bq {

struct tq2_0 {
  static constexpr const char* name = "tq2_0";
  static constexpr type id = type::tq2_0;
  static constexpr int block_size = 256, group = 256, code_bits = 2, zero = 1;
  static constexpr float max_rmse = 0.83f;

  struct [[gnu::packed]] block {
    std::uint8_t qs[64];
    std::uint16_t d;
  };
  static_assert(sizeof(block) == 66);
  static constexpr std::array<plane, 2> planes() { return {{{0, 64, 4, false}, {64, 2, 2, true}}}; }

  template <class S>
  BQ_HD static auto codes(const S& s, int w) {
    return s.template plane<2, 32>(0, w);
  }
  template <class S>
  BQ_HD static auto d(const S& s, int) {
    return s.f16(64);
  }

  template <class L>
  BQ_BOTH static void quantize(const typename L::reals* x, const block_importance<L>&,
                               const typename L::template blocks<tq2_0>& out) {
    typename L::ints codes[block_size];
    out.store16(64, f16_bits<L>(nearest_trits<L>(x, block_size, codes)));
    pack_plane<L, 2, 32>(out, 0, codes, block_size);
  }
};

}  // namespace bq
