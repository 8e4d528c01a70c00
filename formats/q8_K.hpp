// Q8_K: 256 activations, 292 bytes, 9.125 bits each.  activation = d * q
//
//   byte   0         4                             260                                          292
//          | d (f32) | q[0] (i8)  ...  q[255] (i8) | sums of 16 codes (i16): sum[0] ... sum[15] |
//
// The sums meet the minimums of the K formats in a dot product: they do not take part in decoding. The activation of
// largest magnitude gets code -127, so d has the opposite sign.
#pragma once
#include <array>
#include <numeric>

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

  static void quantize(const float* x, std::int64_t cols, block* out, const float*) {
    for (; cols > 0; cols -= block_size, x += block_size, ++out) {
      *out = {};
      const float top = extreme(x, block_size);
      if (top == 0) continue;
      const float inverse = -127.0f / top;
      out->d = 1 / inverse;
      for (int i = 0; i < block_size; ++i) {
        out->q[i] = static_cast<std::int8_t>(std::min(127, nearest_int(inverse * x[i])));
      }
      for (int g = 0; g < 16; ++g) {
        out->sums[g] = static_cast<std::int16_t>(std::accumulate(out->q + 16 * g, out->q + 16 * g + 16, 0));
      }
    }
  }
};

}  // namespace bq
