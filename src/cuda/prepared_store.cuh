// How a warp writes activations in the order of products (prepared.hpp): 256 columns of a token at a time, a lane
// eight.
#pragma once
#include "element.cuh"
#include "prepared.hpp"
#include "row_factor.hpp"

namespace bq::cuda {

// Stores the warp's 256 columns, in 16 bytes a lane, for which two lanes exchange halves of theirs: in atoms, the first
// of two stores pairs 0, 2, 4, 6 of their 16 columns, the second the others; else, lanes l and l + 2 of four store the
// first and the last four columns of both.
__device__ inline void store_slice(const prepared& to, int token, int first, const float (&v)[lane_cols],
                                   float factor) {
  std::uint32_t w[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) w[i] = f16_pair(v[2 * i] * factor, v[2 * i + 1] * factor);
  const bool in_atoms = to.in == prepared::order::atoms;
  const int apart = in_atoms ? 1 : 2;
  const bool second = threadIdx.x & apart;
  const uint2 of_first = in_atoms ? make_uint2(w[0], w[2]) : make_uint2(w[0], w[1]);
  const uint2 of_second = in_atoms ? make_uint2(w[1], w[3]) : make_uint2(w[2], w[3]);
  const uint2 give = second ? of_first : of_second;
  const uint2 got = make_uint2(__shfl_xor_sync(~0u, give.x, apart), __shfl_xor_sync(~0u, give.y, apart));
  const int col = first - (!second ? 0 : in_atoms ? lane_cols - 2 : step_cols - 4);
  *reinterpret_cast<uint4*>(const_cast<unsigned char*>(to.values) + to.position(token, col)) =
      second ? make_uint4(got.x, got.y, of_second.x, of_second.y) : make_uint4(of_first.x, of_first.y, got.x, got.y);
}

// The token's values were multiplied with 2^e.
__device__ inline void store_exponent(const prepared& to, int token, int e) {
  const_cast<float*>(to.factors)[token] = power_of_two(-e);
}

}  // namespace bq::cuda
