// What one lane of a warp reads of a tile in shared memory (tile.hpp): the formats' own unpack code over it gives the
// four code bytes that the lane owes to each step of 16 columns.
//
// A lane's word of step s is word 4s + lane % 4 of its row. The source is asked for word 4s and adds lane % 4 itself:
// in a plane of codes that is the lane's own piece, loaded 16 bytes at a time (equal loads become one); the motions
// whose shifts or offsets depend on lane % 4 (bits of 32 weights in one number, planes of fewer than four words) are
// overridden. Host and device.
#pragma once
#include "tile.hpp"

namespace bq::cuda {

// One block of one row of a tile: single units, aligned.
template <coded_format F>
struct unit_source : word_access<unit_source<F>> {
  static constexpr int lanes = 1;
  const unsigned char* tile_bytes;
  int row, block;

  BQ_HD unit_source(const unsigned char* t, int r, int b) : tile_bytes(t), row(r), block(b) {}

  BQ_HD std::uint32_t load(int offset) const { return *reinterpret_cast<const std::uint32_t*>(at(offset)); }
  BQ_HD std::uint32_t load16(int offset) const { return *reinterpret_cast<const std::uint16_t*>(at(offset)); }
  BQ_HD std::uint32_t load8(int offset) const { return *at(offset); }
  BQ_HD float f16(int offset) const { return f16_to_f32(load16(offset)); }
  BQ_HD float f32(int offset) const { return f32_from_bits(load(offset)); }
  BQ_HD float e8m0_half(int offset) const { return e8m0_half_to_f32(load8(offset)); }
  BQ_HD float ue4m3_half(int offset) const { return ue4m3_half_to_f32(load8(offset)); }

  BQ_HD static int signed_byte(std::uint32_t word, int index) { return block_source::signed_byte(word, index); }
  BQ_HD static int unsigned_byte(std::uint32_t word, int index) { return block_source::unsigned_byte(word, index); }

 private:
  BQ_HD const unsigned char* at(int offset) const { return tile_bytes + tile<F>::position(row, block, offset); }
};

// The codes of one block of row lane / 4 + 8 * half. `w`, and so every offset, is known when compiling.
template <coded_format F>
struct lane_source : word_access<lane_source<F>> {
  static constexpr int lanes = 1;
  const unsigned char* tile_bytes;
  int lane, half, block;

  BQ_HD lane_source(const unsigned char* t, int l, int h, int b) : tile_bytes(t), lane(l), half(h), block(b) {}

  BQ_HD std::uint32_t load(int offset) const {
    constexpr auto planes = F::planes();
    for (const bq::plane& p : planes) {
      const int inside = offset - p.offset;
      if (inside < 0 || inside >= p.bytes || !tile<F>::holds_codes(p)) continue;
      const int size = 4 * tile<F>::piece_words(p), at = tile<F>::position(8 * half, block, offset) + lane * size;
      return word_of(tile_bytes + at / size * size, size, at % size / 4);
    }
    return unit_source<F>(tile_bytes, lane / 4 + 8 * half, block).load(offset);
  }

  template <int Bits, int Bytes>
  BQ_HD auto plane(int offset, int w) const {
    if constexpr (Bytes >= 16) {
      return word_access<lane_source>::template plane<Bits, Bytes>(offset, w);
    } else {
      constexpr int words = Bytes / 4, planes = 8 / Bits, piece = 16;
      constexpr std::uint32_t mask = 0x01010101u * ((1u << Bits) - 1);
      const int chunk = w / (words * planes), quad = w % (words * planes) + lane % 4;
      const int at = tile<F>::position(8 * half, block, offset + chunk * Bytes) + lane / 4 * (4 * piece);
      const auto word = *reinterpret_cast<const std::uint32_t*>(tile_bytes + at + quad % words * piece);
      return word >> (Bits * (quad / words)) & mask;
    }
  }
  BQ_HD auto spread(int offset, int w) const { return word_access<lane_source>::spread(offset, w + lane % 4); }
  template <int Bytes>
  BQ_HD auto trit(int offset, int w) const {
    return word_access<lane_source>::template trit<Bytes>(offset, Bytes >= 16 ? w : w + lane % 4);
  }

  BQ_HD static std::uint32_t lookup(std::uint32_t index, const codebook16& table) {
#ifdef BQ_DEVICE
    const std::uint32_t pairs = index | index >> 4;  // two indices in bytes 0 and 2
    const std::uint32_t select = __byte_perm(pairs, 0, 0x4420), low = select & 0x7777u;
    const std::uint32_t upper = __byte_perm(index << 4, 0, 0xba98);  // all bits of the bytes with an index above 7
    return (__byte_perm(table.word[0], table.word[1], low) & ~upper) |
           (__byte_perm(table.word[2], table.word[3], low) & upper);
#else
    return block_source::lookup(index, table);
#endif
  }

 private:
  struct alignas(8) two {
    std::uint32_t word[2];
  };
  struct alignas(16) four {
    std::uint32_t word[4];
  };
  BQ_HD static std::uint32_t word_of(const unsigned char* piece, int size, int i) {
    if (size == 8) {
      const two v = *reinterpret_cast<const two*>(piece);
      return i == 0 ? v.word[0] : v.word[1];
    }
    const four v = *reinterpret_cast<const four*>(piece);
    return i == 0 ? v.word[0] : i == 1 ? v.word[1] : i == 2 ? v.word[2] : v.word[3];
  }
};

// The four bytes, unsigned, of step s (columns 16 s + 4 (lane % 4) and on) of row lane / 4 + 8 * half: the code, or the
// codebook's entry + 128. Less code_zero<F> they are the signed codes.
template <coded_format F>
inline constexpr int code_zero = has_codebook<F> ? 128 : F::zero;

template <coded_format F>
BQ_HD std::uint32_t lane_codes(const unsigned char* tile_bytes, int lane, int half, int step) {
  constexpr int steps = F::block_size / step_cols;
  const lane_source<F> s(tile_bytes, lane, half, step / steps);
  const std::uint32_t codes = F::codes(s, 4 * (step % steps));
  if constexpr (has_codebook<F>) {
    return lane_source<F>::lookup(codes, F::codebook()) ^ 0x80808080u;
  } else {
    return codes;
  }
}

}  // namespace bq::cuda
