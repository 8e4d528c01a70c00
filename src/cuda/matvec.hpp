// The products of few tokens (matvec.cuh): what a kernel is given, how its work is divided, and which kernel.
#pragma once
#include "device_matrix.hpp"
#include "prepared.hpp"

namespace bq::cuda {

// How one launch divides its work and the shared memory of a thread block.
struct matvec_plan {
  int blocks, warps;
  int least_tiles, longer_blocks;   // rows of tiles of a block, while there are any; blocks that have one more
  int stages;                       // of each warp's ring
  int batch_tiles, batch_sections;  // whose partial sums meet in shared memory at a time
  int shared_bytes;
};

// What a plan depends on: of a kernel, of the matrix.
struct matvec_shape {
  int stage_bytes, staged_bytes, warps;  // of one warp; the most warps
  int places;                            // of thread blocks in a multiprocessor
  int row_tiles, sections, tokens;
};
// Tall matrices fill all places; of others' two, one is for the next kernel's blocks, which start early.
constexpr bool is_tall(std::int64_t row_tiles, int places) {
  constexpr int enough = 6;  // rows of tiles for each
  return row_tiles >= std::int64_t{enough} * places;
}
matvec_plan plan_matvec(const matvec_shape& shape, const product_device& device);

struct matvec_call {
  const unsigned char* tiles;  // [row_tiles][col_tiles]
  const float* factors;        // [row_tiles * 16]
  prepared x;
  float* y;  // [tokens, rows]
  std::int64_t rows;
  int row_tiles, least_tiles, longer_blocks, col_tiles;
  int stages, batch_tiles, batch_sections;
};

inline constexpr int most_kernel_tokens = 16;  // of matvec.cuh: more cost more than another reading of the weights
inline constexpr int most_matvec_tokens = 64, token_stride = tile_rows + 4;  // floats; without conflicts of banks

// Whether a product may be placed while so many thread blocks still prepare its activations. Of a few, those that miss
// a multiprocessor are ones without rows; of many tokens, a block fills one. Else two of the product's would share one.
BQ_HD constexpr bool leaves_places(unsigned blocks) {
  return blocks <= prepared::most_row_tokens || blocks > most_kernel_tokens;
}

// One for each format, made in its unit (format.cu.in).
template <any_format F>
struct matvec_kernels {
  static void launch(const device_matrix::contents& w, const prepared& x, float* y, stream s);
};

}  // namespace bq::cuda
