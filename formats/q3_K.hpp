// Q3_K: 256 weights in 16 groups, 110 bytes, 3.4375 bits per weight.  weight = d * (scale[g] - 32) * (q - 4)
//
//   byte   0            32                96                   108       110
//          | bit 2 of q | low 2 bits of q | scale[g], 6 bits   | d (f16) |
//
//   byte k, bit j:   bit 2 of q[32j + k]
//   byte 32 + 32c + k: q[128c + k] | q[128c + 32 + k] << 2 | q[128c + 64 + k] << 4 | q[128c + 96 + k] << 6
//   byte 96 + j (j < 8): low 4 bits of scale[j] | scale[8 + j] << 4
//   byte 104 + j (j < 4): bits 4-5 of scale[j] | scale[4 + j] << 2 | scale[8 + j] << 4 | scale[12 + j] << 6
#pragma once
#include <array>

#include "packing.hpp"
#include "superblock.hpp"

namespace bq {

struct q3_K {
  static constexpr const char* name = "q3_K";
  static constexpr type id = type::q3_K;
  static constexpr int block_size = 256, group = 16, code_bits = 3, zero = 4;
  static constexpr int scale_low = -32, scale_high = 31;
  static constexpr bool uses_importance = true;
  static constexpr float max_rmse = 0.156f;

  struct [[gnu::packed]] block {
    std::uint8_t hmask[32], qs[64], scales[12];
    std::uint16_t d;
  };
  static_assert(sizeof(block) == 110);
  static constexpr std::array<plane, 4> planes() {
    return {{{0, 32, 4, false}, {32, 64, 4, false}, {96, 12, 4, false}, {108, 2, 2, true}}};
  }

  template <class S>
  BQ_HD static auto codes(const S& s, int w) {
    return s.template plane<2, 32>(32, w) | s.template plane<1, 32>(0, w) << 2;
  }
  template <class S>
  BQ_HD static auto d(const S& s, int) {
    return s.f16(108);
  }
  template <class S>
  BQ_HD static auto scales(const S& s, int w) {
    return signed_bytes(s.template plane<4, 8>(96, w) | s.template plane<2, 4>(104, w) << 4, 32);
  }

  static void quantize(const float* x, std::int64_t cols, block* out, const float* importance) {
    for (std::int64_t i = 0; i < cols; i += block_size, ++out) {
      std::uint8_t codes[block_size], levels[16] = {};
      const float scale =
          importance ? search_weighted(x + i, importance + i, codes, levels) : search(x + i, codes, levels);
      out->d = f16_from_f32(scale);
      pack_plane<4, 8>(out->scales, levels, 16);
      pack_plane<2, 4>(out->scales + 8, levels, 16, 4);
      requantize<q3_K>(x + i, *out, codes);
      pack_plane<1, 32>(out->hmask, codes, block_size, 2);
      pack_plane<2, 32>(out->qs, codes, block_size);
    }
  }

 private:
  // Both fill codes [256] and, unless the block is zero, levels [16] (scale + 32), and return d.
  static float search(const float* x, std::uint8_t* codes, std::uint8_t* levels) {
    float w[block_size], scales[16];
    squares(x, block_size, w);
    for (int g = 0; g < 16; ++g) scales[g] = symmetric_descent(x + 16 * g, w + 16 * g, 16, zero, codes + 16 * g);
    const float top = extreme(scales, 16);
    if (top == 0) return 0;
    const float inverse = -32.0f / top;
    for (int g = 0; g < 16; ++g) {
      levels[g] = static_cast<std::uint8_t>(std::clamp(nearest_int(inverse * scales[g]), -32, 31) + 32);
    }
    return 1 / inverse;
  }

  static float search_weighted(const float* x, const float* importance, std::uint8_t* codes, std::uint8_t* levels) {
    float w[block_size], scales[16], group_weights[16];
    superblock_weights(x, importance, 2, w);
    for (int g = 0; g < 16; ++g) {
      group_weights[g] = sum(w + 16 * g, 16);
      scales[g] = symmetric_search(x + 16 * g, w + 16 * g, 16, zero, codes + 16 * g);
    }
    return symmetric_search(scales, group_weights, 16, 32, levels);
  }
};

}  // namespace bq
