// Activations as products read them (blockquant/cuda.hpp, activations): f16 in the order of the tensor core's B
// operand, and each token's power of two.
//
//   values   [tokens][stride] f16; by 32 columns, by quad q = 0..3: columns 4q .. 4q+3 and 16 + 4q .. 16 + 4q+3 of
//   the 32.
//            Columns are rounded up to 256 with zeros; 32 more, never written, let rows of tokens begin in different
//            banks of a cache line, and kernels load past the end
//   factors  [tokens] f32: 2^-e, which undoes what the token was multiplied with
#pragma once
#include "blockquant/cuda.hpp"
#include "tile.hpp"

namespace bq::cuda {

struct prepared {
  const unsigned char* values;
  const float* factors;
  int tokens, stride;  // f16 numbers

  static constexpr int pair_cols = 2 * step_cols;
  static constexpr std::int64_t stride_of(std::int64_t cols) {
    return ceil_div(cols, tile_cols) * tile_cols + pair_cols;
  }
};

prepared view(const activations& x);  // whose shape was checked

}  // namespace bq::cuda
