// Word sources: how a format's unpack code sees the bytes of a block. An offset is in bytes from the start of the block,
// w is the index of a code word (weights 4w .. 4w+3). All loads are unaligned and little endian.
//
// `word_access` derives the three motions that every format is made of from one load:
//   plane<Bits, Bytes>(offset, w)  codes of `Bits` bits stored in planes over `Bytes` bytes: the lowest bits of all bytes, then the
//                                  next ones, and so on; further chunks of `Bytes` bytes follow
//   spread(offset, w)              one bit per weight, in order: bit 4w+j of the field becomes bit 0 of byte j
//   trit<Bytes, Planes>(offset, w) base-3 digits, as fixed-point fractions (TQ1_0), in planes over `Bytes` bytes
// A source whose lanes are consecutive words of one block (AVX2, NEON) overrides them; a source whose lanes are the same
// word of several rows (packed weights) and the one-word source below use them as they are.
#pragma once
#include <cstring>

#include "float16.hpp"

namespace bq {

template <class Self>
struct word_access {
  template <int Bits, int Bytes>
  BQ_HD auto plane(int offset, int w) const {
    constexpr int words = Bytes / 4, planes = 8 / Bits;
    constexpr std::uint32_t mask = 0x01010101u * ((1u << Bits) - 1);
    const int chunk = w / (words * planes), plane = w / words % planes, k = w % words;
    return self().load(offset + chunk * Bytes + 4 * k) >> (Bits * plane) & mask;
  }

  BQ_HD auto spread(int offset, int w) const {
    return ((self().load(offset) >> (4 * w) & 0x0fu) * 0x00204081u) & 0x01010101u;
  }

  template <int Bytes, int Planes>
  BQ_HD auto trit(int offset, int w) const {
    constexpr int words = Bytes / 4;
    std::uint32_t power = 1;
    for (int i = 0; i < w / words % Planes; ++i) power *= 3;
    const auto v = self().load(offset + 4 * (w % words));
    const auto even = ((v & 0x00ff00ffu) * power & 0x00ff00ffu) * 3u >> 8 & 0x00ff00ffu;
    const auto odd = ((v >> 8 & 0x00ff00ffu) * power & 0x00ff00ffu) * 3u >> 8 & 0x00ff00ffu;
    return even | odd << 8;
  }

 private:
  BQ_HD const Self& self() const { return static_cast<const Self&>(*this); }
};

// One block, one word at a time.
struct block_source : word_access<block_source> {
  static constexpr int lanes = 1;
  const unsigned char* block;

  BQ_HD explicit block_source(const void* p) : block(static_cast<const unsigned char*>(p)) {}

  BQ_HD std::uint32_t load(int offset) const {
    std::uint32_t v;
    memcpy(&v, block + offset, 4);
    return v;
  }
  BQ_HD std::uint32_t load16(int offset) const {
    std::uint16_t v;
    memcpy(&v, block + offset, 2);
    return v;
  }
  BQ_HD std::uint32_t load8(int offset) const { return block[offset]; }

  BQ_HD float f16(int offset) const { return f16_to_f32(load16(offset)); }
  BQ_HD float f32(int offset) const { return f32_from_bits(load(offset)); }
  BQ_HD float e8m0_half(int offset) const { return e8m0_half_to_f32(load8(offset)); }
  BQ_HD float ue4m3_half(int offset) const { return ue4m3_half_to_f32(load8(offset)); }

  // Four bytes of `index` (each below 16) replaced by the codebook's entries.
  BQ_HD static std::uint32_t lookup(std::uint32_t index, const codebook16& table) {
    std::uint32_t out = 0;
    for (int j = 0; j < 4; ++j) {
      const std::uint32_t i = index >> (8 * j) & 15u;
      const std::uint32_t word = i < 8 ? (i < 4 ? table.word[0] : table.word[1]) : (i < 12 ? table.word[2] : table.word[3]);
      out |= (word >> (8 * (i & 3u)) & 0xffu) << (8 * j);
    }
    return out;
  }
};

}  // namespace bq
