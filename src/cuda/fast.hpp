// The products of the fast tier: signed bytes times signed bytes (byte_matrix.hpp), exact sums over 256 columns, which
// are added up in f32 in their order:
//
//   output = ((sum_0 * (w_0 * x_0)) + sum_1 * (w_1 * x_1)) + ...   w_i, x_i: the scales of weights and token in slice i
//
// each with one rounding of the product of scales and one fused multiply-add; so all kernels give the same bits, and a
// token's outputs do not depend on the others. One kernel is made for Hopper, one for all other GPUs; neither knows a
// format.
#pragma once
#include "byte_matrix.hpp"
#include "device_matrix.hpp"

namespace bq::cuda {

struct fast_call {
  byte_matrix w, x;
  float* y;                        // [tokens, rows]
  int strips, token_tiles, block;  // strips of rows, tiles of tokens; tiles of a strip that are done before the next's
};

// A tile of a call, in the order in which tiles are taken.
struct fast_tile {
  int strip, token_tile;

  BQ_HD fast_tile(const fast_call& c, int t) {
    const int per_block = c.strips * c.block, first = t / per_block * c.block, in_block = t % per_block;
    const int tiles = c.token_tiles - first < c.block ? c.token_tiles - first : c.block;
    strip = in_block / tiles;
    token_tile = first + in_block % tiles;
  }
};

// Activations of the fast tier whose shape was checked, and the memory that they take.
byte_matrix view_bytes(const activations& x);
std::int64_t fast_activation_bytes(std::int64_t tokens, std::int64_t cols);
void prepare_fast(const void* x, element e, const activations& out, stream s);

// x: prepared activations of w's columns. Queued on `s`.
void fast_product(const device_matrix::contents& w, const byte_matrix& x, float* y, stream s);

// With wgmma (sm_90a), and with mma.sync.
void launch_fast_hopper(const device_matrix::contents& w, const byte_matrix& x, float* y, stream s);
void launch_fast_mma(const device_matrix::contents& w, const byte_matrix& x, float* y, stream s);

}  // namespace bq::cuda
