// NVFP4: 64 weights in 4 groups of 16, 36 bytes, 4.5 bits per weight.  weight = s[g] * E2M1[q]
//
//   byte   0           4                                          12          20          28          36
//          | s[0]..s[3] | q[0] | q[8] << 4  ...  q[7] | q[15] << 4 | q[16] ... | q[32] ... | q[48] ... |
//
// s: UE4M3, an unsigned 8-bit float with four exponent bits (bias 7) and three fraction bits; 0x7f is NaN, bit 7
// unused. The f32 factor per tensor that NVIDIA's format has is a tensor of its own in GGUF.
#pragma once
#include <array>

#include "e2m1.hpp"
#include "packing.hpp"
#include "search.hpp"
#include "word.hpp"

namespace bq {

struct nvfp4 {
  static constexpr const char* name = "nvfp4";
  static constexpr type id = type::nvfp4;
  static constexpr int block_size = 64, group = 16, code_bits = 4, zero = 0;
  static constexpr float max_rmse = 0.107f;

  struct [[gnu::packed]] block {
    std::uint8_t scales[4], qs[32];
  };
  static_assert(sizeof(block) == 36);
  static constexpr std::array<plane, 2> planes() { return {{{0, 4, 1, false}, {4, 32, 4, false}}}; }

  BQ_HD static constexpr codebook16 codebook() { return e2m1_codebook(); }
  template <class S>
  BQ_HD static auto codes(const S& s, int w) {
    return s.template plane<4, 8>(4, w);
  }
  template <class S>
  BQ_HD static auto d(const S& s, int g) {
    return s.ue4m3_half(g);
  }

  template <class L>
  BQ_BOTH static void quantize(const typename L::reals* x, const block_importance<L>&,
                               const typename L::template blocks<nvfp4>& out) {
    typename L::ints codes[block_size];
    for (int g = 0; g < 4; ++g) {
      const auto s = L::each(max_abs<L>(x + group * g, group) / 6.0f,
                             [](float lane) -> std::int32_t { return ue4m3_from_f32(lane); });
      const typename L::reals scale =
          L::each(s, [](std::int32_t lane) { return ue4m3_half_to_f32(static_cast<std::uint32_t>(lane)); });
      for (int i = group * g; i < group * (g + 1); ++i) codes[i] = e2m1_nearest<L>(x[i], scale);
      out.store8(g, s);
    }
    pack_plane<L, 4, 8>(out, 4, codes, block_size);
  }
};

}  // namespace bq
