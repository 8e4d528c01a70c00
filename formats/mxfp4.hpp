// MXFP4: 32 weights, 17 bytes, 4.25 bits per weight.  weight = 2^(e - 127) * E2M1[q]
//
//   byte   0          1                                              17
//          | e (E8M0) | q[0] | q[16] << 4   ...   q[15] | q[31] << 4 |
//
// The OCP microscaling format: the scale is a power of two, so that the largest magnitude falls in [4, 8). e = 255 is
// NaN.
#pragma once
#include <array>

#include "e2m1.hpp"
#include "packing.hpp"
#include "search.hpp"
#include "word.hpp"

namespace bq {

struct mxfp4 {
  static constexpr const char* name = "mxfp4";
  static constexpr type id = type::mxfp4;
  static constexpr int block_size = 32, group = 32, code_bits = 4, zero = 0;
  static constexpr float max_rmse = 0.118f;

  struct [[gnu::packed]] block {
    std::uint8_t e, qs[16];
  };
  static_assert(sizeof(block) == 17);
  static constexpr std::array<plane, 2> planes() { return {{{0, 1, 1, false}, {1, 16, 4, false}}}; }

  BQ_HD static constexpr codebook16 codebook() { return e2m1_codebook(); }
  template <class S>
  BQ_HD static auto codes(const S& s, int w) {
    return s.template plane<4, 16>(1, w);
  }
  template <class S>
  BQ_HD static auto d(const S& s, int) {
    return s.e8m0_half(0);
  }
  template <class S>
  BQ_HD static bool valid(const S& s) {
    return s.load8(0) != 0xffu;
  }

  template <class L>
  BQ_BOTH static void quantize(const typename L::reals* x, const block_importance<L>&,
                               const typename L::template blocks<mxfp4>& out) {
    const typename L::ints e = L::each(max_abs<L>(x, block_size), [](float top) { return exponent(top); });
    const typename L::reals scale =
        L::each(e, [](std::int32_t lane) { return e8m0_half_to_f32(static_cast<std::uint32_t>(lane)); });
    typename L::ints codes[block_size];
    for (int i = 0; i < block_size; ++i) codes[i] = e2m1_nearest<L>(x[i], scale);
    out.store8(0, e);
    pack_plane<L, 4, 16>(out, 1, codes, block_size);
  }

 private:
  // floor(log2(top)) - 2, biased. The reference takes the logarithm in f32, which reaches k already a little below 2^k;
  // the double logarithm rounded to f32 is that of every library, since none comes near a tie. Below 2^-125 the
  // reference converts a negative number to 8 bits: it wraps to a scale under which all codes are zero, save that 255
  // would be a NaN.
  BQ_HD static std::int32_t exponent(float top) {
    if (!(top > 0)) return 0;
    const float log = static_cast<float>(std::log2(static_cast<double>(top)));
    return one_lane::min(one_lane::truncate(std::floor(log) + 125) & 255, 254);
  }
};

}  // namespace bq
