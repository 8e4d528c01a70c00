// Q6_K: 256 weights in 16 groups, 210 bytes, 6.5625 bits per weight.  weight = d * scale[g] * (q - 32)
//
//   byte   0                 128              192                 208       210
//          | low 4 bits of q | bits 4-5 of q  | scale[g] (i8)     | d (f16) |
//
//   byte 64c + k (k < 64):       q[128c + k] | q[128c + 64 + k] << 4
//   byte 128 + 32c + k (k < 32): q[128c + k] | q[128c + 32 + k] << 2 | q[128c + 64 + k] << 4 | q[128c + 96 + k] << 6
#pragma once
#include <array>

#include "packing.hpp"
#include "superblock.hpp"

namespace bq {

struct q6_K {
  static constexpr const char* name = "q6_K";
  static constexpr type id = type::q6_K;
  static constexpr int block_size = 256, group = 16, code_bits = 6, zero = 32;
  static constexpr bool uses_importance = true;
  static constexpr float max_rmse = 0.0184f;

  struct [[gnu::packed]] block {
    std::uint8_t ql[128], qh[64];
    std::int8_t scales[16];
    std::uint16_t d;
  };
  static_assert(sizeof(block) == 210);
  static constexpr std::array<plane, 4> planes() {
    return {{{0, 128, 4, false}, {128, 64, 4, false}, {192, 16, 4, false}, {208, 2, 2, true}}};
  }

  template <class S>
  BQ_HD static auto codes(const S& s, int w) {
    return s.template plane<4, 64>(0, w) | s.template plane<2, 32>(128, w) << 4;
  }
  template <class S>
  BQ_HD static auto d(const S& s, int) {
    return s.f16(208);
  }
  template <class S>
  BQ_HD static auto scales(const S& s, int w) {
    return s.load(192 + 4 * w);
  }

  static void quantize(const float* x, std::int64_t cols, block* out, const float* importance) {
    for (std::int64_t i = 0; i < cols; i += block_size, ++out) {
      std::uint8_t codes[block_size];
      float w[block_size], scales[16];
      if (importance)
        std::copy_n(importance + i, block_size, w);
      else
        squares(x + i, block_size, w);
      for (int g = 0; g < 16; ++g) {
        scales[g] = symmetric_search(x + i + 16 * g, w + 16 * g, 16, zero, codes + 16 * g);
      }
      const float top = extreme(scales, 16);
      if (std::fabs(top) < negligible) {
        *out = {};
        continue;
      }
      const float inverse = -128.0f / top;
      out->d = f16_from_f32(1 / inverse);
      for (int g = 0; g < 16; ++g) {
        out->scales[g] = static_cast<std::int8_t>(std::min(127, nearest_int(inverse * scales[g])));
      }
      requantize<q6_K>(x + i, *out, codes);
      pack_plane<4, 64>(out->ql, codes, block_size);
      pack_plane<2, 32>(out->qh, codes, block_size, 4);
    }
  }
};

}  // namespace bq
