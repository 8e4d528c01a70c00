// Lines of values to the bytes of the fast tier (byte_matrix.hpp): one warp takes 256 columns of a line, a lane eight.
// What a line is, a source says: source.load(line, col, count, values) gives `count` of eight values.
#pragma once
#include <algorithm>

#include "arch.cuh"
#include "byte_matrix.hpp"
#include "code_scale.cuh"
#include "element.cuh"
#include "launch.hpp"
#include "thread_block.cuh"

namespace bq::cuda {

inline constexpr int byte_threads = 256;
static_assert(byte_matrix::slice_cols == slice_cols);

// The warp's 256 columns of a line: eight, from col on, of each lane.
__device__ inline void store_slice(const byte_matrix& to, int line, int col, const float (&v)[lane_cols]) {
  const code_scale c(across_lanes<32>(top_of(v), larger()));
  *reinterpret_cast<uint2*>(to.byte(line, col)) = c.codes(v);
  if (threadIdx.x % 32 == 0) *to.scale(col / byte_matrix::slice_cols, line) = c.scale;
}

// The source's lines become lines first, first + 1, ... of `to`.
template <class Source>
__global__ void __launch_bounds__(byte_threads)
    encode_bytes(const Source source, int first, int lines, std::int64_t cols, const byte_matrix to) {
  launch_dependents();
  wait_for_predecessors();
  const std::int64_t warp = (std::int64_t{blockIdx.x} * byte_threads + threadIdx.x) / 32;
  const int line = static_cast<int>(warp / to.slices), slice = static_cast<int>(warp % to.slices);
  if (line >= lines) return;
  const int lane = threadIdx.x % 32, col = slice * byte_matrix::slice_cols + lane * lane_cols;
  float v[lane_cols] = {};
  const int here = static_cast<int>(min(cols - col, std::int64_t{lane_cols}));
  if (here > 0) source.load(line, col, here, v);
  store_slice(to, first + line, col, v);
}

template <class Source>
void launch_encode_bytes(bool early, const Source& source, std::int64_t first, std::int64_t lines, std::int64_t cols,
                         const byte_matrix& to, const char* name, stream s) {
  launch(early, encode_bytes<Source>, static_cast<int>(ceil_div(lines * to.slices * 32, byte_threads)), byte_threads, 0,
         s, name, {lines, cols}, source, static_cast<int>(first), static_cast<int>(lines), cols, to);
}

}  // namespace bq::cuda
