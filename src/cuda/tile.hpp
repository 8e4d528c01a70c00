// How weights lie in a GPU's memory: tiles of 16 rows x 256 columns, the same bytes as in the file, in another order,
// so that a warp loads them 16 bytes a lane and has them where the tensor core's A operand wants them.
//
//   matrix   [rows / 16][cols / 256] tiles, both rounded up; what is added is zero bytes, which decode to zero weights
//   tile     the planes of the format's block in their order, each with the bytes of all 16 rows and all blocks
//   lane     four consecutive columns of rows g and g + 8 belong to lane 4 g + columns / 4 % 4, as in mma m16n8k16 with
//            columns 4q, 4q + 1 | 4q + 2, 4q + 3 of each 16 in the places k = 2q, 2q + 1 | 2q + 8, 2q + 9
//   codes    word i of a plane belongs to lane 4 (row % 8) + i % 4; a lane's words, by block, by i / 4, by row / 8,
//            go into pieces of 16 bytes (8 where they do not fill 16), and the pieces of the 32 lanes follow one
//            another; the middle bytes of each word change places, so that two codes that are neighbours in the
//            tensor core's operand are 16 bits apart; then bits change places within words (bit_order.hpp)
//   numbers  of one bit for each of 32 weights: word i of a lane is of blocks 2 i and 2 i + 1 (across_order)
//   others   [16 rows][blocks] as they are (scales, minimums)
//   floats   four columns of a row are one word of 8 or 16 bytes, placed as words of codes are
//
// A plane of at least one bit per weight and of whole 16 bytes holds codes. Host and device.
#pragma once
#include <type_traits>

#include "bit_order.hpp"

namespace bq::cuda {

inline constexpr int tile_rows = 16, tile_cols = 256, step_cols = 16, tile_steps = tile_cols / step_cols;
inline constexpr int section_cols = 1024, section_tiles = section_cols / tile_cols;  // of one sum (fragment.cuh)

BQ_HD constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

template <any_format F>
struct tile {
  static constexpr int blocks = tile_cols / F::block_size;
  static constexpr int bytes = tile_rows * blocks * static_cast<int>(sizeof(typename F::block));
  static_assert(tile_cols % F::block_size == 0);

  BQ_HD static constexpr bool holds_codes(const plane& p) {
    return p.unit == 4 && p.bytes % 16 == 0 && 8 * p.bytes >= F::block_size;
  }
  BQ_HD static constexpr bool holds_bits(const plane& p) { return p.bytes == 4 && F::block_size == 32; }
  // Words of such a plane that a lane has, and how many of them make a piece.
  BQ_HD static constexpr int lane_words(const plane& p) { return blocks * p.bytes / 8; }
  BQ_HD static constexpr int piece_words(const plane& p) { return lane_words(p) % 4 == 0 ? 4 : 2; }

  // Where byte `at` of a block of this row lies in the tile before bits change places; outside of codes, a unit of its
  // plane stays together.
  BQ_HD static constexpr int position(int row, int block, int at) {
    if constexpr (float_format<F>) {
      constexpr int size = static_cast<int>(sizeof(typename F::block)), pieces = 4 / size;
      const int lane = 4 * (row % 8) + block / 4 % 4, turn = 2 * (block / step_cols) + row / 8;
      return turn / pieces * 512 + lane * 16 + turn % pieces * (4 * size) + block % 4 * size + at;
    } else {
      constexpr auto planes = F::planes();
      for (const plane& p : planes) {
        const int inside = at - p.offset;
        if (inside < 0 || inside >= p.bytes) continue;
        const int base = tile_rows * blocks * p.offset;
        if (holds_bits(p)) return base + row % 8 * 64 + (block % 2 * 2 + row / 8) * 16 + block / 2 * 4 + inside;
        if (!holds_codes(p)) return base + (row * blocks + block) * p.bytes + inside;
        const int piece = piece_words(p), word = inside / 4, lane = 4 * (row % 8) + word % 4;
        const int turn = 2 * (block * (p.bytes / 16) + word / 4) + row / 8;
        constexpr int swapped[] = {0, 2, 1, 3};
        return base + turn / piece * (128 * piece) + lane * (4 * piece) + turn % piece * 4 + swapped[inside % 4];
      }
      return -1;
    }
  }

  // visit(position in the tile, offset in the block, bytes) for every part of a block of this row that stays together.
  template <class Visit>
  BQ_HD static void for_each_unit(int row, int block, Visit visit) {
    constexpr auto planes = F::planes();
    for (const plane& p : planes) {
      const int unit = coded_format<F> && holds_codes(p) ? 1 : p.unit;
      for (int at = p.offset; at < p.offset + p.bytes; at += unit) visit(position(row, block, at), at, unit);
    }
  }

  // The order of bits in words of codes that are looked up.
  using looked_up = std::conditional_t<is_e2m1<F>, e2m1_order, lookup_order>;

  // The bits of a whole tile change places, or are put back: the share of one of `threads` threads.
  template <bool Pack>
  BQ_HD static void exchange_bits(unsigned char* tile_bytes, int thread, int threads) {
    if constexpr (coded_format<F>) {
      constexpr auto planes = F::planes();
      for (const plane& p : planes) {
        if (holds_bits(p)) {
          exchange_plane<Pack, across_order>(tile_bytes, p, thread, threads);
        } else if (holds_codes(p)) {
          if constexpr (has_codebook<F>) {
            using order = std::conditional_t<F::group == step_cols, paired_order<looked_up>, looked_up>;
            exchange_plane<Pack, order>(tile_bytes, p, thread, threads);
          } else if constexpr (F::code_bits == 3) {  // in planes of two bits and one
            if (4 * p.bytes == F::block_size) exchange_plane<Pack, nested_order>(tile_bytes, p, thread, threads);
            if (8 * p.bytes == F::block_size) exchange_plane<Pack, parted_order>(tile_bytes, p, thread, threads);
          }
        }
      }
    }
  }

 private:
  template <bool Pack, class Order>
  BQ_HD static void exchange_plane(unsigned char* tile_bytes, const plane& p, int thread, int threads) {
    auto* words = reinterpret_cast<std::uint32_t*>(tile_bytes + tile_rows * blocks * p.offset);
    const int piece = piece_words(p);
    for (int i = thread; i < 8 * lane_words(p); i += threads) {
      std::uint32_t* w = words + i / piece * (4 * piece) + i % piece;
      const lane_quad v{{w[0], w[piece], w[2 * piece], w[3 * piece]}};
      const lane_quad moved = Pack ? Order::to_tile(v) : Order::to_file(v);
      for (int k = 0; k < 4; ++k) w[k * piece] = moved.word[k];
    }
  }
};

}  // namespace bq::cuda
