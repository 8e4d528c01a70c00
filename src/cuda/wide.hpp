// The products of many tokens on Hopper (wide.cuh): what a kernel is given, and when they are used.
#pragma once
#include "device_matrix.hpp"
#include "prepared.hpp"

namespace bq::cuda {

struct wide_call {
  const unsigned char* tiles;  // [row_tiles][col_tiles]
  const float* factors;        // [row_tiles * 16]
  prepared x;                  // in atoms
  float* y;                    // [tokens, rows]
  std::int64_t rows;
  int row_tiles, col_tiles;
};

// Whether products of so many tokens on the current device are these; then activations are prepared in atoms.
bool takes_wide(std::int64_t tokens);

// One for each format, in a unit of its own.
template <any_format F>
struct wide_kernels {
  static void launch(const device_matrix::contents& w, const prepared& x, float* y, stream s);
};

}  // namespace bq::cuda
