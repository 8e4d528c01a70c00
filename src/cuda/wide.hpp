// The products of more than 16 tokens on Hopper (wide.cuh): when they are used, how their work is divided, and what a
// kernel is given.
//
// A cluster of thread blocks takes tiles: a strip of 256 rows x one of a few widths of tokens. Every strip is cut alike
// in tiles of the widest kind, except for the last strips, whose tiles may be narrower: so that all clusters end at
// about the same time.
#pragma once
#include <array>
#include <span>

#include "device_matrix.hpp"
#include "prepared.hpp"

namespace bq::cuda {

inline constexpr int wide_cluster = 2, wide_groups = 2;  // blocks of a cluster, consumer warpgroups of a block
inline constexpr int wide_group_tiles = 4, wide_strip_tiles = wide_cluster * wide_groups * wide_group_tiles;
// Whether a kernel's tiles have up to 64 tokens: then all of them the same.
template <int Most>
inline constexpr bool is_narrow = Most <= 64;
// Tokens of a tile, by the most that a kernel's tiles have: 32, 64, 176, or 256, where the sums of all sections so far
// do not fit the registers beside those of a section. hopper.cuh has their products.
// (A function, as nvcc has host code define a variable as one that can be written.)
template <int Most>
constexpr std::array<int, 2> wide_widths() {
  return {Most, is_narrow<Most> ? Most : 128};
}
// Of tiles that several pairs of blocks share.
template <int Most>
inline constexpr int wide_split_width = wide_widths<Most>()[1];
// What a tile costs besides its tokens, in tokens, as measured: weights are unpacked as often for few tokens.
inline constexpr int wide_tile_cost = 92;

// Where tiles are fewer than clusters, several pairs of blocks share a tile: pair p has sections p, p + pairs, ... of
// the columns, and hands the sum of all sections so far to the next: the order of sums is the same.
inline constexpr int most_wide_pairs = 4;

struct wide_part {
  int strips, tiles, width;  // strips of rows, each of so many tiles of so many tokens
  int block;                 // tiles of a strip that are done before the next strip's
};
struct wide_division {
  std::array<wide_part, 2> parts;
  std::int64_t cost;  // of the busiest cluster's tiles
};

// The division that ends first.
wide_division divide_wide(std::int64_t row_tiles, std::int64_t tokens, std::int64_t cols, int clusters,
                          std::span<const int, 2> widths);

// How many pairs should share each tile: of all rows x `width` tokens.
int wide_pairs(std::int64_t row_tiles, std::int64_t tokens, std::int64_t cols, int multiprocessors, int width);

struct wide_call {
  const unsigned char* tiles;  // [row_tiles][col_tiles]
  const float* factors;        // [row_tiles * 16]
  prepared x;                  // in atoms
  float* y;                    // [tokens, rows]
  std::int64_t rows;
  int row_tiles, col_tiles;
  int pairs;  // that share a tile; if several, a cluster takes one tile, of wide_split_width tokens
  std::array<wide_part, 2> parts;
};

// Whether products of so many tokens on the current device are these; then activations are prepared in atoms.
bool takes_wide(std::int64_t tokens);

// One for each format, made in its unit (format.cu.in).
template <any_format F>
struct wide_kernels {
  static void launch(const device_matrix::contents& w, const prepared& x, float* y, stream s);
};

}  // namespace bq::cuda
