// How the bits of a tile's code words are ordered (tile.hpp), where the file's order would cost the kernels
// instructions. An order is a bijection of the words that lanes 4 g .. 4 g + 3 have in one place: applied when blocks
// become tiles, taken back when they are read.
//
//   e2m1     of each byte the lower seven bits, rotated by three: the upper nibble's sign and number are where an
//            f16's upper byte has them (bits 7 and 3 .. 1), the lower nibble's a shift away (bits 0 and 6 .. 4)
//   lookup   the lower nibbles of the four bytes, then the upper ones: 16 bits select four entries of a codebook
//   paired   codes of 16 weights in 8 bytes, whose nibbles are those of lanes q and q + 2: two such become a word for
//            each lane, with lower nibbles for the first 16 weights and upper ones for the second
//   nested   of the four 2-bit codes of a byte the middle ones change places: the first two are four bits apart
//   parted   of a byte's bits the even ones come first: where they are the third bits of such codes, those of the first
//            two are four bits apart too
//   across   a number with one bit for each of 32 weights; of four (rows g and g + 8 of two blocks) bit 2 i + s of byte
//            j becomes the one of code j in step s of number i
//
// Host and device.
#pragma once
#include "formats/decode.hpp"
#include "formats/e2m1.hpp"

namespace bq::cuda {

BQ_HD constexpr std::uint32_t swap_middle(std::uint32_t word) {
  return (word & 0xff0000ffu) | (word & 0xff00u) << 8 | (word >> 8 & 0xff00u);
}

struct lane_quad {
  std::uint32_t word[4];
};

// An order of single words for all four.
template <class Word>
struct each_word {
  BQ_HD static constexpr lane_quad to_tile(const lane_quad& v) {
    return {{Word::to_tile(v.word[0]), Word::to_tile(v.word[1]), Word::to_tile(v.word[2]), Word::to_tile(v.word[3])}};
  }
  BQ_HD static constexpr lane_quad to_file(const lane_quad& v) {
    return {{Word::to_file(v.word[0]), Word::to_file(v.word[1]), Word::to_file(v.word[2]), Word::to_file(v.word[3])}};
  }
};

struct e2m1_order : each_word<e2m1_order> {
  using each_word::to_file;
  using each_word::to_tile;
  BQ_HD static constexpr std::uint32_t to_tile(std::uint32_t word) {
    return (word & 0x80808080u) | (word >> 3 & 0x0f0f0f0fu) | (word & 0x07070707u) << 4;
  }
  BQ_HD static constexpr std::uint32_t to_file(std::uint32_t word) {
    return (word & 0x80808080u) | (word & 0x0f0f0f0fu) << 3 | (word >> 4 & 0x07070707u);
  }
};

struct lookup_order : each_word<lookup_order> {
  using each_word::to_file;
  using each_word::to_tile;
  BQ_HD static constexpr std::uint32_t to_tile(std::uint32_t word) {
    std::uint32_t out = 0;
    for (int i = 0; i < 8; ++i) out |= (word >> (8 * (i % 4) + 4 * (i / 4)) & 15u) << 4 * i;
    return out;
  }
  BQ_HD static constexpr std::uint32_t to_file(std::uint32_t word) {
    std::uint32_t out = 0;
    for (int i = 0; i < 8; ++i) out |= (word >> 4 * i & 15u) << (8 * (i % 4) + 4 * (i / 4));
    return out;
  }
};

template <class Order>
struct paired_order {
  BQ_HD static constexpr lane_quad to_tile(const lane_quad& v) { return Order::to_tile(exchange(v)); }
  BQ_HD static constexpr lane_quad to_file(const lane_quad& v) { return exchange(Order::to_file(v)); }

 private:
  BQ_HD static constexpr lane_quad exchange(const lane_quad& v) {
    constexpr std::uint32_t low = 0x0f0f0f0fu;
    lane_quad out{};
    for (int i = 0; i < 2; ++i) {
      out.word[i] = (v.word[i] & low) | (v.word[i + 2] & low) << 4;
      out.word[i + 2] = (v.word[i] >> 4 & low) | (v.word[i + 2] & ~low);
    }
    return out;
  }
};

struct nested_order : each_word<nested_order> {
  using each_word::to_file;
  using each_word::to_tile;
  BQ_HD static constexpr std::uint32_t to_tile(std::uint32_t word) {
    return (word & 0xc3c3c3c3u) | (word & 0x0c0c0c0cu) << 2 | (word >> 2 & 0x0c0c0c0cu);
  }
  BQ_HD static constexpr std::uint32_t to_file(std::uint32_t word) { return to_tile(word); }
};

struct parted_order : each_word<parted_order> {
  using each_word::to_file;
  using each_word::to_tile;
  BQ_HD static constexpr std::uint32_t to_tile(std::uint32_t word) { return nested_order::to_tile(exchange(word)); }
  BQ_HD static constexpr std::uint32_t to_file(std::uint32_t word) { return exchange(nested_order::to_file(word)); }

 private:
  BQ_HD static constexpr std::uint32_t exchange(std::uint32_t word) {
    return (word & 0x99999999u) | (word & 0x22222222u) << 1 | (word >> 1 & 0x22222222u);
  }
};

struct across_order {
  BQ_HD static constexpr lane_quad to_tile(const lane_quad& numbers) {
    lane_quad out{};
    for (int i = 0; i < 32; ++i) {
      const int lane = i % 4, step = i / 4 % 2, number = i / 8;
      const std::uint32_t codes = numbers.word[number] >> (16 * step + 4 * lane) & 15u;
      out.word[lane] |= swap_middle(codes * 0x00204081u & 0x01010101u) << (2 * number + step);
    }
    return out;
  }
  BQ_HD static constexpr lane_quad to_file(const lane_quad& words) {
    lane_quad out{};
    for (int i = 0; i < 32; ++i) {
      const int lane = i % 4, step = i / 4 % 2, number = i / 8;
      const std::uint32_t bits = swap_middle(words.word[lane] >> (2 * number + step) & 0x01010101u);
      out.word[number] |= (bits * 0x10204080u >> 28) << (16 * step + 4 * lane);
    }
    return out;
  }
};

// Whether codes are E2M1 numbers.
template <any_format F>
inline constexpr bool is_e2m1 = [] {
  if constexpr (has_codebook<F>) {
    constexpr codebook16 a = F::codebook(), b = e2m1_codebook();
    return a.word[0] == b.word[0] && a.word[1] == b.word[1] && a.word[2] == b.word[2] && a.word[3] == b.word[3];
  }
  return false;
}();

}  // namespace bq::cuda
