// Activations as products read them (blockquant/cuda.hpp, activations): f16 in the order of the tensor core's B
// operand, and each token's power of two. Columns are rounded up to 256 with zeros.
//
//   groups   where products take few tokens: values [tokens / 8][cols / 32][8][32], so that a warp loads whole cache
//            lines; the 32 by quad q = 0..3: columns 4q .. 4q+3 and 16 + 4q .. 16 + 4q+3
//   atoms    where products take many tokens at once (wide.hpp): values [cols / 64][tokens / 8] of 8 tokens x 64
//            columns, 128 bytes a token; its 16 bytes p = 0..7, at p ^ (token % 8), are columns
//            16 (p / 2) + 2 (p % 2) + 4q, and one on, for q = 0..3
//   factors  [tokens] f32: 2^-e, which undoes what the token was multiplied with
#pragma once
#include "blockquant/cuda.hpp"
#include "tile.hpp"

namespace bq::cuda {

struct prepared {
  const unsigned char* values;
  const float* factors;
  int tokens, cols;  // rounded up
  enum class order { groups, atoms } in = order::groups;

  static constexpr int pair_cols = 2 * step_cols, group_tokens = 8;
  static constexpr int atom_tokens = 8, atom_cols = 64, atom_bytes = 1024;

  static constexpr std::int64_t round_up(std::int64_t cols) { return ceil_div(cols, tile_cols) * tile_cols; }

  // The byte in values of this token's columns col and col + 1; col is even.
  BQ_HD std::int64_t position(int token, int col) const {
    const int quad = col % step_cols / 4, pair = col % 4 / 2;
    if (in == order::groups) {
      const int first = token / group_tokens * group_tokens;
      return 2 * std::int64_t{first} * cols + (col / pair_cols * group_tokens + token - first) * (2 * pair_cols) +
             quad * 16 + col % pair_cols / step_cols * 8 + pair * 4;
    }
    const std::int64_t atom = col / atom_cols * ceil_div(tokens, atom_tokens) + token / atom_tokens;
    const int piece = col % atom_cols / step_cols * 2 + pair, row = token % atom_tokens;
    return atom * atom_bytes + row * (2 * atom_cols) + (piece ^ row) * 16 + quad * 4;
  }
};

prepared view(const activations& x);  // whose shape was checked

}  // namespace bq::cuda
