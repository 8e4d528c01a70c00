// The products of many tokens on Hopper (wide.cuh): what a kernel is given, and when they are used.
#pragma once
#include "device_matrix.hpp"
#include "prepared.hpp"

namespace bq::cuda {

// Activations in atoms, instead of rows of tokens: [cols / 64][tokens / 8] of 8 tokens x 64 columns, 128 bytes a token;
// 16 bytes p = 0..7, at p ^ (token % 8), are columns 16 (p / 2) + 2 (p % 2) + 4q, and one on, for q = 0..3.
inline constexpr int atom_tokens = 8, atom_cols = 64, atom_bytes = 1024;

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
