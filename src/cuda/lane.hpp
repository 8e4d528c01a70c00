// What one lane of a warp reads of a tile in shared memory (tile.hpp): the formats' own unpack code over it gives the
// four codes that the lane owes to each step of 16 columns.
//
// A lane's word of step s is word 4s + lane % 4 of its row. The source is asked for word 4s and adds lane % 4 itself:
// in a plane of codes that is one of the lane's own words, loaded 16 bytes at a time; the motions whose shifts or
// offsets depend on lane % 4 (bits of 32 weights in one number, planes of fewer than four words) are overridden. Words
// keep the tile's order of bytes: codes 0, 2, 1, 3. Host and device.
#pragma once
#include <array>

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
  // Without branches: an f16 with these bits is 2^-7 of it.
  BQ_HD float ue4m3_half(int offset) const {
    const std::uint32_t x = load8(offset);
    return x == 0x7f ? 0.0f : f16_to_f32(x << 7 & 0x3f80u) * 0x1p7f;
  }

  BQ_HD static int signed_byte(std::uint32_t word, int index) { return block_source::signed_byte(word, index); }
  BQ_HD static int unsigned_byte(std::uint32_t word, int index) { return block_source::unsigned_byte(word, index); }

 private:
  BQ_HD const unsigned char* at(int offset) const { return tile_bytes + tile<F>::position(row, block, offset); }
};

// All words of codes of a tile that a lane has, in the order of planes, blocks, words / 4, halves; of bits across
// blocks, in the order of blocks.
template <coded_format F>
struct lane_words {
  BQ_HD static constexpr bool has(const bq::plane& p) { return tile<F>::holds_codes(p) || tile<F>::holds_bits(p); }
  static constexpr int count = [] {
    int n = 0;
    for (const bq::plane& p : F::planes()) n += has(p) ? tile<F>::lane_words(p) : 0;
    return n;
  }();
  // Whether no word of codes is elsewhere.
  static constexpr bool complete = 32 * 32 * count >= F::code_bits * tile_rows * tile_cols;
  std::uint32_t word[count];
  codebook16 table;  // of formats with a codebook: its entries + 128

  BQ_HD void load(const unsigned char* tile_bytes, int lane) {
    if constexpr (has_codebook<F>) {
      constexpr std::uint32_t up = 0x80808080u;
      constexpr codebook16 t = F::codebook();
      table = {{t.word[0] ^ up, t.word[1] ^ up, t.word[2] ^ up, t.word[3] ^ up}};
#ifdef BQ_DEVICE
      // What the compiler knows to be constant goes to a register anew for every look-up; threadIdx.y is 0.
      table.word[0] ^= threadIdx.y;
      table.word[2] ^= threadIdx.y;
#endif
    }
    [&]<std::size_t... P>(std::index_sequence<P...>) {
      (load_plane<P>(tile_bytes, lane, std::make_index_sequence<pieces(F::planes()[P])>{}), ...);
    }
    (std::make_index_sequence<F::planes().size()>{});
  }

  // The index of the word that holds byte `offset` of a block, for lanes whose lane % 4 is 0; -1 if it is no code. From
  // a table, as compilers take long to see through a search.
  BQ_HD static constexpr int index(int half, int block, int offset) {
    constexpr int size = sizeof(typename F::block), blocks = tile<F>::blocks;
    constexpr auto table = [] {
      std::array<signed char, 2 * blocks * size> out{};
      for (int i = 0; i < 2 * blocks * size; ++i) {
        out[i] = static_cast<signed char>(find(i / size / blocks, i / size % blocks, i % size));
      }
      return out;
    }();
    return table[(half * blocks + block) * size + offset];
  }

 private:
  static constexpr int find(int half, int block, int offset) {
    constexpr auto planes = F::planes();
    int n = 0;
    for (const bq::plane& p : planes) {
      if (!has(p)) continue;
      const int inside = offset - p.offset;
      if (inside >= 0 && inside < p.bytes) {
        return n + (tile<F>::holds_bits(p) ? block / 2 : 2 * (block * (p.bytes / 16) + inside / 16) + half);
      }
      n += tile<F>::lane_words(p);
    }
    return -1;
  }

  static constexpr std::size_t pieces(const bq::plane& p) {
    return has(p) ? static_cast<std::size_t>(tile<F>::lane_words(p) / tile<F>::piece_words(p)) : 0;
  }

  // Indices are constants of the compiler, so that the words become registers.
  template <std::size_t P, std::size_t... I>
  BQ_HD void load_plane([[maybe_unused]] const unsigned char* tile_bytes, [[maybe_unused]] int lane,
                        std::index_sequence<I...>) {
    (load_piece<P, I>(tile_bytes, lane, std::make_index_sequence<piece_of<P>>{}), ...);
  }
  template <std::size_t P, std::size_t I, std::size_t... K>
  BQ_HD void load_piece(const unsigned char* tile_bytes, int lane, std::index_sequence<K...>) {
    constexpr int n = piece_of<P>, offset = F::planes()[P].offset, at = I * n;
    struct alignas(4 * n) piece {
      std::uint32_t word[n];
    };
    const unsigned char* from = tile_bytes + tile_rows * tile<F>::blocks * offset + 128 * at + lane * (4 * n);
    const piece v = *reinterpret_cast<const piece*>(from);
    ((word[index(0, 0, offset) + at + static_cast<int>(K)] = v.word[K]), ...);
  }
  template <std::size_t P>
  static constexpr int piece_of = tile<F>::piece_words(F::planes()[P]);
};

// Bits of a where the mask has ones, of b elsewhere: one operation, which compilers do not find if the mask is
// constant.
BQ_HD std::uint32_t choose(std::uint32_t mask, std::uint32_t a, std::uint32_t b) {
#ifdef BQ_DEVICE
  std::uint32_t out;
  asm("lop3.b32 %0, %1, %2, %3, 0xe4;" : "=r"(out) : "r"(a), "r"(b), "r"(mask));
  return out;
#else
  return (a & mask) | (b & ~mask);
#endif
}

// Four codes that are still where they were in a word: bits Bits << shift of each byte.
struct codes_in_place {
  std::uint32_t word, mask;  // of a byte's lowest bits, in all four
  int shift;
  BQ_HD operator std::uint32_t() const { return word >> shift & mask; }
};

// The third bits of the codes of two planes: bits 2 and 6 of each byte.
struct upper_bits {
  std::uint32_t word;
};
BQ_HD codes_in_place operator|(const codes_in_place& c, const upper_bits& above) {
  return {choose(0x33333333u, c.word >> c.shift % 4, above.word), 0x07070707u, c.shift / 4 * 4};
}

// The same in two words: codes 0 and 1, and codes 2 and 3, each 16 bits from its neighbour: bits mask << shift.
struct code_halves {
  std::uint32_t first, second, mask;
  int shift;
  BQ_HD operator std::uint32_t() const { return (first >> shift & mask) | (second >> shift & mask) << 8; }
};

// Codes of the upper or lower nibbles of a word whose bits have changed places.
template <class Order>
struct ordered_codes {
  std::uint32_t word;
  bool upper;
  BQ_HD operator std::uint32_t() const { return Order::to_file(word) >> (upper ? 4 : 0) & 0x0f0f0f0fu; }
};

// The codes of one block of row lane / 4 + 8 * half. `w`, and so every offset, is known when compiling.
template <coded_format F>
struct lane_source : word_access<lane_source<F>> {
  static constexpr int lanes = 1;
  const lane_words<F>& words;
  const unsigned char* tile_bytes;
  int lane, half, block;

  BQ_HD lane_source(const lane_words<F>& own, const unsigned char* t, int l, int h, int b)
      : words(own), tile_bytes(t), lane(l), half(h), block(b) {}

  BQ_HD std::uint32_t load(int offset) const {
    const int i = lane_words<F>::index(half, block, offset);
    if constexpr (lane_words<F>::complete) {
      return words.word[i];
    } else {
      return i >= 0 ? words.word[i] : swap_middle(of_row().load(offset));
    }
  }

  template <int Bits, int Bytes>
  BQ_HD auto plane(int offset, int w) const {
    constexpr int plane_words = Bytes / 4, planes = 8 / Bits;
    constexpr std::uint32_t mask = 0x01010101u * ((1u << Bits) - 1);
    if constexpr (Bytes < 16) {  // two steps to a word (paired_order)
      static_assert(Bits == 4 && Bytes == 8 && has_codebook<F>);
      return in_order(load(offset + w / 8 * 16), 4 * (w / 4 % 2));
    } else {
      const int chunk = w / (plane_words * planes), shift = Bits * (w / plane_words % planes);
      const auto word = load(offset + chunk * Bytes + 4 * (w % plane_words));
      if constexpr (has_codebook<F>) {
        return in_order(word, shift);
      } else {
        return codes_in_place{word, mask, F::code_bits == 3 ? shift % 4 * 2 + shift / 4 * 2 : shift};
      }
    }
  }
  // The bits above codes of two bits each, for those of two planes at once (parted_order).
  template <int Bits, int Bytes, int At>
  BQ_HD auto plane_at(int offset, int w) const {
    if constexpr (At + Bits > 4) {
      return word_access<lane_source<F>>::template plane_at<Bits, Bytes, At>(offset, w);
    } else {
      static_assert(Bits == 1 && Bytes == 32 && At == 2);
      const std::uint32_t word = load(offset + 4 * (w % 8));
      const int from = w / 16;
      return upper_bits{from > At ? word >> (from - At) : word << (At - from)};
    }
  }
  BQ_HD auto spread(int offset, int w) const {
    return load(offset) >> (4 * (block % 2) + 2 * half + w / 4) & 0x01010101u;
  }
  // Digits are found one after the other, so that compilers share the steps between the planes. Of x = 3^k times the
  // byte plus 256 times the digits so far, as a number, bits 8 and 9 are digit k, and 3 x plus that digit is the next
  // x: all multiples of 4 in the way vanish. It outgrows 16 bits only with the last digit.
  template <int Bytes>
  BQ_HD auto trit(int offset, int w) const {
    constexpr int plane_words = Bytes / 4;
    constexpr std::uint32_t low = 0x00ff00ffu, digit = 0x03000300u;
    const auto word = load(offset + 4 * (w % plane_words));
    code_halves h{word & low, word >> 8 & low, 0x00030003u, 8};
    if constexpr (Bytes < 16) {  // a digit for each lane
      static_assert(plane_words == 1);
      const std::uint32_t power = lane % 4 == 0 ? 1u : lane % 4 == 1 ? 3u : lane % 4 == 2 ? 9u : 27u;
      h.first = h.first * power & low;
      h.second = h.second * power & low;
    }
    h.first *= 3;
    h.second *= 3;
    const auto next = [](std::uint32_t x, int k) { return k == 4 ? (x & low) * 3 : x * 3 + (x & digit); };
    for (int k = 1; k <= w / plane_words; ++k) {
      h.first = next(h.first, k);
      h.second = next(h.second, k);
    }
    return h;
  }

  // Both nibbles of each byte at once, as they lie: compilers share that between the two planes.
  BQ_HD static std::uint32_t lookup(const ordered_codes<lookup_order>& c, const codebook16& table) {
#ifdef BQ_DEVICE
    std::uint32_t select = c.word & 0x77777777u, upper;  // upper: all bits where an index is above 7
    const std::uint32_t left = c.word << 4;
    if (c.upper) {
      select >>= 16;
      asm("prmt.b32 %0, %1, %2, 0xfbea;" : "=r"(upper) : "r"(left), "r"(c.word));
    } else {
      asm("prmt.b32 %0, %1, %2, 0xd9c8;" : "=r"(upper) : "r"(left), "r"(c.word));
    }
    return (__byte_perm(table.word[0], table.word[1], select) & ~upper) |
           (__byte_perm(table.word[2], table.word[3], select) & upper);
#else
    return block_source::lookup(c, table);
#endif
  }
  BQ_HD static std::uint32_t lookup(const ordered_codes<e2m1_order>& c, const codebook16& table) {
    return block_source::lookup(c, table);
  }

 private:
  BQ_HD static auto in_order(std::uint32_t word, int shift) {
    return ordered_codes<typename tile<F>::looked_up>{word, shift != 0};
  }
  BQ_HD unit_source<F> of_row() const { return unit_source<F>(tile_bytes, lane / 4 + 8 * half, block); }
};

// The four codes of step s (columns 16 s + 4 (lane % 4) and on) of row lane / 4 + 8 * half, as they are stored: a word
// of bytes, codes_in_place or code_halves.
template <coded_format F>
BQ_HD auto stored_codes(const lane_words<F>& words, const unsigned char* tile_bytes, int lane, int half, int step) {
  constexpr int steps = F::block_size / step_cols;
  return F::codes(lane_source<F>(words, tile_bytes, lane, half, step / steps), 4 * (step % steps));
}

// The same, unsigned; for codebooks the entry + 128. Less code_zero<F> they are the signed codes.
template <coded_format F>
inline constexpr int code_zero = has_codebook<F> ? 128 : F::zero;

template <coded_format F>
BQ_HD auto lane_codes(const lane_words<F>& words, const unsigned char* tile_bytes, int lane, int half, int step) {
  const auto codes = stored_codes<F>(words, tile_bytes, lane, half, step);
  if constexpr (has_codebook<F>) {
    return lane_source<F>::lookup(codes, words.table);
  } else {
    return codes;
  }
}

}  // namespace bq::cuda
