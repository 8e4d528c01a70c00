// The 12 bytes that hold the eight 6-bit scales and eight 6-bit minimums of Q4_K and Q5_K, read as words of four:
//
//   byte j (0..3)     bits 0-5: scale[j]            bits 6-7: scale[4+j] bits 4-5
//   byte 4 + j        bits 0-5: min[j]              bits 6-7: min[4+j]   bits 4-5
//   byte 8 + j        bits 0-3: scale[4+j] bits 0-3 bits 4-7: min[4+j]   bits 0-3
#pragma once
#include <cstdint>

#include "lanes.hpp"

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

// scales [8] and mins [8] into 12 bytes at `offset`.
template <class L, class Blocks>
BQ_BOTH void pack_k_scales(const Blocks& out, int offset, const typename L::ints* scales,
                           const typename L::ints* mins) {
  typename L::ints words[3] = {0, 0, 0};
  for (int j = 0; j < 4; ++j) {
    const typename L::ints bytes[3] = {scales[j] | scales[4 + j] >> 4 << 6, mins[j] | mins[4 + j] >> 4 << 6,
                                       (scales[4 + j] & 15) | (mins[4 + j] & 15) << 4};
    for (int k = 0; k < 3; ++k) words[k] = words[k] | (bytes[k] & 255) << (8 * j);
  }
  for (int k = 0; k < 3; ++k) out.store(offset + 4 * k, words[k]);
}

}  // namespace bq
