// Q8_K: 256 activations, 292 bytes, 9.125 bits each.  activation = d * q
//
//   byte   0         4                             260                                          292
//          | d (f32) | q[0] (i8)  ...  q[255] (i8) | sums of 16 codes (i16): sum[0] ... sum[15] |
//
// The sums meet the minimums of the K formats in a dot product: they do not take part in decoding. The activation of
// largest magnitude gets code -127, so d has the opposite sign.
#pragma once
#include <array>

#include "packing.hpp"
#include "search.hpp"
#include "word.hpp"

namespace bq {

struct q8_K {
  static constexpr const char* name = "q8_K";
  static constexpr type id = type::q8_K;
  static constexpr int block_size = 256, group = 256, code_bits = 8, zero = 128;
  static constexpr bool activation_only = true;
  static constexpr float max_rmse = 0.0072f;

  struct [[gnu::packed]] block {
    float d;
    std::int8_t q[256];
    std::int16_t sums[16];
  };
  static_assert(sizeof(block) == 292);
  static constexpr std::array<plane, 3> planes() { return {{{0, 4, 4, true}, {4, 256, 4, false}, {260, 32, 2, true}}}; }

  template <class S>
  BQ_HD static auto codes(const S& s, int w) {
    return s.template plane<8, 256>(4, w) ^ 0x80808080u;
  }
  template <class S>
  BQ_HD static auto d(const S& s, int) {
    return s.f32(0);
  }

  template <class L>
  BQ_BOTH static void quantize(const typename L::reals* x, const block_importance<L>&,
                               const typename L::template blocks<q8_K>& out) {
    typename L::ints q[block_size];
    const typename L::reals top = extreme<L>(x, block_size), inverse = -127.0f / top;
    const auto zeros = top == 0.0f;
    for (int i = 0; i < block_size; ++i)
      q[i] = L::select(zeros, 0, wrap_byte<L>(L::min(127, nearest_int<L>(inverse * x[i]))));
    out.store(0, L::bits(L::select(zeros, 0.0f, 1.0f / inverse)));
    pack_plane<L, 8, 256>(out, 4, q, block_size);
    for (int g = 0; g < 16; ++g) {
      typename L::ints total = 0;
      for (int i = 16 * g; i < 16 * g + 16; ++i) total = total + q[i];
      out.store16(260 + 2 * g, total);
    }
  }
};

}  // namespace bq
