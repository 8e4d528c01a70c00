// TQ1_0: 256 ternary weights, 54 bytes, 1.6875 bits per weight.  weight = d * (q - 1)
//
//   byte   0                           32                      48                  52        54
//          | 160 weights, 5 to a byte  | 80, 5 to a byte       | 16, 4 to a byte   | d (f16) |
//
//   byte k       q[k], q[32 + k], ... q[128 + k]        (k < 32)
//   byte 32 + k  q[160 + k], q[176 + k], ... q[224 + k] (k < 16)
//   byte 48 + k  q[240 + k], q[244 + k], ... q[252 + k] (k < 4), then a zero
//
// Five base-3 digits, the first the most significant, are a number n < 243, stored as ceil(n * 256 / 243): digit i is
// then the integer part of 3 * fraction(byte * 3^i / 256).
#pragma once
#include <array>

#include "packing.hpp"
#include "ternary.hpp"
#include "word.hpp"

namespace bq {

struct tq1_0 {
  static constexpr const char* name = "tq1_0";
  static constexpr type id = type::tq1_0;
  static constexpr int block_size = 256, group = 256, code_bits = 2, zero = 1;
  static constexpr float max_rmse = 0.83f;

  struct [[gnu::packed]] block {
    std::uint8_t qs[48], qh[4];
    std::uint16_t d;
  };
  static_assert(sizeof(block) == 54);
  static constexpr std::array<plane, 3> planes() { return {{{0, 48, 4, false}, {48, 4, 4, false}, {52, 2, 2, true}}}; }

  // The last 24 words lie in planes of 4 and 1 words.
  template <class S>
  BQ_HD static auto codes(const S& s, int w) {
    return s.each(w, [](const auto& word, int i) {
      if (i < 40) return word.template trit<32>(0, i);
      if (i < 60) return word.template trit<16>(32, i - 40);
      return word.template trit<4>(48, i - 60);
    });
  }
  template <class S>
  BQ_HD static auto d(const S& s, int) {
    return s.f16(52);
  }

  template <class L>
  BQ_BOTH static void quantize(const typename L::reals* x, const block_importance<L>&,
                               const typename L::template blocks<tq1_0>& out) {
    typename L::ints codes[block_size];
    out.store16(52, f16_bits<L>(nearest_trits<L>(x, block_size, codes)));
    pack_trits<L, 32, 5>(out, 0, codes);
    pack_trits<L, 16, 5>(out, 32, codes + 160);
    pack_trits<L, 4, 4>(out, 48, codes + 240);
  }
};

}  // namespace bq
