// Lines of values to the bytes of the fast tier (byte_matrix.hpp): one warp takes 256 columns of a line, a lane eight.
// What a line is, a source says: source.load(line, col, count, values) gives `count` of eight values.
#pragma once
#include <algorithm>

#include "arch.cuh"
#include "byte_matrix.hpp"
#include "code_scale.cuh"
#include "launch.hpp"
#include "thread_block.cuh"

namespace bq::cuda {

inline constexpr int byte_threads = 256, lane_cols = byte_matrix::slice_cols / 32;

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
  std::uint32_t top = 0;
#pragma unroll
  for (const float x : v) top = max(top, f32_to_bits(x) & 0x7fffffffu);
  const code_scale scale(across_lanes<32>(top, larger()));
  std::uint32_t words[2] = {};
#pragma unroll
  for (int i = 0; i < lane_cols; ++i) {
    words[i / 4] |= (static_cast<std::uint32_t>(scale.code(v[i])) & 0xffu) << 8 * (i % 4);
  }
  *reinterpret_cast<uint2*>(to.byte(first + line, col)) = make_uint2(words[0], words[1]);
  if (lane == 0) *to.scale(slice, first + line) = scale.scale;
}

template <class Source>
void launch_encode_bytes(bool early, const Source& source, std::int64_t first, std::int64_t lines, std::int64_t cols,
                         const byte_matrix& to, const char* name, stream s) {
  launch(early, encode_bytes<Source>, static_cast<int>(ceil_div(lines * to.slices * 32, byte_threads)), byte_threads, 0,
         s, name, {lines, cols}, source, static_cast<int>(first), static_cast<int>(lines), cols, to);
}

}  // namespace bq::cuda
