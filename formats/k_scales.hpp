// The 12 bytes that hold the eight 6-bit scales and eight 6-bit minimums of Q4_K and Q5_K, read as words of four:
//
//   byte j (0..3)     bits 0-5: scale[j]            bits 6-7: scale[4+j] bits 4-5
//   byte 4 + j        bits 0-5: min[j]              bits 6-7: min[4+j]   bits 4-5
//   byte 8 + j        bits 0-3: scale[4+j] bits 0-3 bits 4-7: min[4+j]   bits 0-3
#pragma once
#include <cstdint>

#include "format.hpp"

namespace bq {

// Word w (0 or 1) of the scales of a block whose 12 bytes begin at `offset`: groups 4w .. 4w+3.
template <class S>
BQ_HD auto k_scales(const S& s, int offset, int w) {
  if (w == 0) return s.load(offset) & 0x3f3f3f3fu;
  return (s.load(offset + 8) & 0x0f0f0f0fu) | (s.load(offset) >> 2 & 0x30303030u);
}

template <class S>
BQ_HD auto k_mins(const S& s, int offset, int w) {
  if (w == 0) return s.load(offset + 4) & 0x3f3f3f3fu;
  return (s.load(offset + 8) >> 4 & 0x0f0f0f0fu) | (s.load(offset + 4) >> 2 & 0x30303030u);
}

// scales [8] and mins [8], each below 64, into 12 bytes.
inline void pack_k_scales(const std::uint8_t* scales, const std::uint8_t* mins, std::uint8_t* out) {
  for (int j = 0; j < 4; ++j) {
    out[j] = static_cast<std::uint8_t>(scales[j] | scales[4 + j] >> 4 << 6);
    out[4 + j] = static_cast<std::uint8_t>(mins[j] | mins[4 + j] >> 4 << 6);
    out[8 + j] = static_cast<std::uint8_t>((scales[4 + j] & 15) | (mins[4 + j] & 15) << 4);
  }
}

}  // namespace bq
