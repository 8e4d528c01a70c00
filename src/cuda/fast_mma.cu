// Products of the fast tier (fast.hpp) with mma.sync, for GPUs that have no wgmma: a thread block takes 128 rows x 64
// tokens, a warp 32 x 32 of them; chunks of 128 columns come into shared memory one ahead.
#include "arch.cuh"
#include "fast.hpp"
#include "launch.hpp"

namespace bq::cuda {

namespace {

constexpr int rows = 128, tokens = 64, threads = 256, stages = 2;
constexpr int warp_rows = 32, warp_tokens = 32, row_warps = rows / warp_rows;
constexpr int row_atoms = rows / byte_matrix::atom_lines, token_atoms = tokens / byte_matrix::atom_lines;
constexpr int stage_bytes = (row_atoms + token_atoms) * byte_matrix::atom_bytes;

// Atoms first .. first + count of a chunk; those that are not there become zeros.
__device__ __forceinline__ void copy_atoms(unsigned char* to, const byte_matrix& from, int chunk, int first,
                                           int count) {
  const int there = (from.line_atoms() - first) * byte_matrix::atom_bytes;
  const unsigned char* source = from.atom(chunk, first);
  for (int at = 16 * static_cast<int>(threadIdx.x); at < count * byte_matrix::atom_bytes; at += 16 * threads) {
    copy_async<16>(to + at, source + (at < there ? at : 0), at < there);
  }
}

__global__ void __launch_bounds__(threads) fast_mma(const __grid_constant__ fast_call c) {
  extern __shared__ uint4 memory[];
  auto* shared = reinterpret_cast<unsigned char*>(memory);
  launch_dependents();
  const fast_tile tile(c, static_cast<int>(blockIdx.x));
  const int row_atom = tile.strip * row_atoms, token_atom = tile.token_tile * token_atoms;
  const int chunks = c.w.slices * byte_matrix::slice_atoms;
  const auto request = [&](int chunk) {
    if (chunk < chunks) {
      unsigned char* to = shared + chunk % stages * stage_bytes;
      copy_atoms(to, c.w, chunk, row_atom, row_atoms);
      copy_atoms(to + row_atoms * byte_matrix::atom_bytes, c.x, chunk, token_atom, token_atoms);
    }
    commit_copies();
  };
  wait_for_predecessors();
  request(0);

  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int warp_row = warp % row_warps * warp_rows, warp_token = warp / row_warps * warp_tokens;
  const int row0 = tile.strip * rows + warp_row + lane / 4, token0 = tile.token_tile * tokens + warp_token;
  // Matrices of a load: of weights lines 0-7 and 8-15 and then their next 16 bytes; of activations the other way round.
  const int matrix = lane / 8, line = lane % 8;
  float total[2][4][4] = {};
  int work[2][4][4] = {};
  for (int chunk = 0; chunk < chunks; ++chunk) {
    request(chunk + 1);
    wait_copies<1>();
    __syncthreads();
    const unsigned char* weights = shared + chunk % stages * stage_bytes;
    const unsigned char* values = weights + row_atoms * byte_matrix::atom_bytes;
#pragma unroll
    for (int step = 0; step < 4; ++step) {
      const auto line_of = [&](const unsigned char* atoms, int first_line, int atom, int piece) {
        return atoms + (first_line / 8 + atom) * byte_matrix::atom_bytes + line * byte_matrix::atom_cols +
               ((2 * step + piece) ^ line) * 16;
      };
      std::uint32_t b[2][4];
#pragma unroll
      for (int j = 0; j < 2; ++j) load_matrices(b[j], line_of(values, warp_token + 16 * j, matrix / 2, matrix % 2));
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        std::uint32_t a[4];
        load_matrices(a, line_of(weights, warp_row + 16 * i, matrix % 2, matrix / 2));
#pragma unroll
        for (int j = 0; j < 4; ++j) mma(work[i][j], a, b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
      }
    }
    __syncthreads();
    if (chunk % byte_matrix::slice_atoms < byte_matrix::slice_atoms - 1) continue;
    const int slice = chunk / byte_matrix::slice_atoms;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
#pragma unroll
        for (int k = 0; k < 4; ++k) {
          const int row = row0 + 16 * i + k / 2 * 8, token = token0 + 8 * j + lane % 4 * 2 + k % 2;
          if (row < c.w.lines && token < c.x.lines) {
            const float factor = *c.w.scale(slice, row) * *c.x.scale(slice, token);
            total[i][j][k] = fmaf(__int2float_rn(work[i][j][k]), factor, total[i][j][k]);
          }
          work[i][j][k] = 0;
        }
      }
    }
  }
#pragma unroll
  for (int i = 0; i < 2; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        const int row = row0 + 16 * i + k / 2 * 8, token = token0 + 8 * j + lane % 4 * 2 + k % 2;
        if (row < c.w.lines && token < c.x.lines) c.y[std::int64_t{token} * c.w.lines + row] = total[i][j][k];
      }
    }
  }
}

}  // namespace

void launch_fast_mma(const device_matrix::contents& w, const byte_matrix& x, float* y, stream s) {
  const byte_matrix weights = w.as_bytes();
  const auto strips = static_cast<int>(ceil_div(weights.lines, rows));
  const auto token_tiles = static_cast<int>(ceil_div(x.lines, tokens));
  launch(w.device.starts_early, fast_mma, strips * token_tiles, threads, stages * stage_bytes, s, "fast product",
         {w.rows, w.cols, x.lines}, fast_call{weights, x, y, strips, token_tiles, token_tiles});
}

}  // namespace bq::cuda
