// Word sources: how a format's unpack code sees the bytes of a block. An offset is in bytes from the start of the
// block, w is the index of a code word (weights 4w .. 4w+3). All loads are unaligned and little endian. Three kinds
// exist:
//
// - One word of one block: block_source below, for scalar code, CUDA threads and tests.
// - The same word of several rows whose blocks are interleaved by planes(), for packed weights: every read has a lane
//   for each row, and the derived motions work as they are.
// - Consecutive words of one block, for SIMD over a row: load(offset) gives the words at offset, offset + 4, ..., and w
//   is a multiple of `lanes`. plane, spread and each are overridden where a vector leaves a plane. Only codes are read
//   so; scales come, packed, from a block_source, and the kernel spreads them over lanes.
//
// A source gives load, load16, load8 (zero-extended words), the scale reads f16, f32, e8m0_half, ue4m3_half, the byte
// reads signed_byte, unsigned_byte, and lookup. word_access derives the motions that codes are made of.
#pragma once
#include <cstring>

#include "float16.hpp"

namespace bq {

// Bytes of a word, each below 128, less `zero`: signed bytes. They do not borrow from one another.
template <class Word>
BQ_HD Word signed_bytes(Word unsigned_bytes, std::uint32_t zero) {
  return ((unsigned_bytes | 0x80808080u) - 0x01010101u * zero) ^ 0x80808080u;
}

template <class Self>
struct word_access {
  // Codes of `Bits` bits in planes over `Bytes` bytes: the lowest bits of all bytes, then the next ones, and so on;
  // then the next `Bytes` bytes.
  template <int Bits, int Bytes>
  BQ_HD auto plane(int offset, int w) const {
    constexpr int words = Bytes / 4, planes = 8 / Bits;
    constexpr std::uint32_t mask = 0x01010101u * ((1u << Bits) - 1);
    const int chunk = w / (words * planes), plane = w / words % planes, k = w % words;
    return self().load(offset + chunk * Bytes + 4 * k) >> (Bits * plane) & mask;
  }
  // The same, with bit At of every byte as the lowest: one shift less than plane() << At. Bytes >= 16.
  template <int Bits, int Bytes, int At>
  BQ_HD auto plane_at(int offset, int w) const {
    static_assert(Bytes >= 16);
    constexpr int words = Bytes / 4, planes = 8 / Bits;
    constexpr std::uint32_t mask = 0x01010101u * ((1u << Bits) - 1) << At;
    const int chunk = w / (words * planes), shift = Bits * (w / words % planes) - At;
    const auto word = self().load(offset + chunk * Bytes + 4 * (w % words));
    return (shift > 0 ? word >> shift : shift < 0 ? word << -shift : word) & mask;
  }

  // One bit per weight, in order, for 32 weights: bit 4w+j of the field becomes bit 0 of byte j.
  BQ_HD auto spread(int offset, int w) const {
    return ((self().load(offset) >> (4 * w) & 0x0fu) * 0x00204081u) & 0x01010101u;
  }

  // Base-3 digits in planes over `Bytes` bytes: a byte is a fixed-point fraction of five digits, and times 3^k it
  // starts with digit k.
  template <int Bytes>
  BQ_HD auto trit(int offset, int w) const {
    constexpr int words = Bytes / 4;
    std::uint32_t power = 1;
    for (int i = 0; i < w / words; ++i) power *= 3;
    const auto v = self().load(offset + 4 * (w % words));
    const auto even = ((v & 0x00ff00ffu) * power & 0x00ff00ffu) * 3u >> 8 & 0x00ff00ffu;
    const auto odd = ((v >> 8 & 0x00ff00ffu) * power & 0x00ff00ffu) * 3u >> 8 & 0x00ff00ffu;
    return even | odd << 8;
  }

  // f(source, word index) for every word of the vector: for layouts with a seam inside one.
  template <class Read>
  BQ_HD auto each(int w, Read read) const {
    return read(self(), w);
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

  // Byte index % 4 of a word.
  BQ_HD static int signed_byte(std::uint32_t word, int index) {
    return static_cast<std::int8_t>(word >> (8 * (index & 3)));
  }
  BQ_HD static int unsigned_byte(std::uint32_t word, int index) {
    return static_cast<std::uint8_t>(word >> (8 * (index & 3)));
  }

  // Four bytes of `index` (each below 16) replaced by the codebook's entries.
  BQ_HD static std::uint32_t lookup(std::uint32_t index, const codebook16& table) {
    const std::uint64_t low = table.word[0] | static_cast<std::uint64_t>(table.word[1]) << 32;
    const std::uint64_t high = table.word[2] | static_cast<std::uint64_t>(table.word[3]) << 32;
    std::uint32_t out = 0;
    for (int shift = 0; shift < 32; shift += 8) {
      const std::uint32_t i = index >> shift & 15u;
      out |= static_cast<std::uint32_t>((i < 8 ? low : high) >> (8 * (i & 7u)) & 0xffu) << shift;
    }
    return out;
  }
};

}  // namespace bq
