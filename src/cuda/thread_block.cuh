// One float of a GPU thread as the vectors that src/activation_functions.hpp computes with; and reductions over a
// thread block, in an order that depends on its size alone.
#pragma once
#include <cstdint>

#include "formats/float16.hpp"

namespace bq::cuda {

struct thread_float {
  using reals = float;
  BQ_HD static float fma(float a, float b, float c) { return fmaf(a, b, c); }
  BQ_HD static float fnma(float a, float b, float c) { return fmaf(-a, b, c); }
  BQ_HD static float as_reals(std::uint32_t bits) { return f32_from_bits(bits); }
  BQ_HD static std::uint32_t as_words(float x) { return f32_to_bits(x); }
  BQ_HD static float select(bool m, float a, float b) { return m ? a : b; }
};

struct sum {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};

struct larger {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a < b ? b : a;
  }
};

// Over lanes whose numbers differ in bits below `Lanes`; every lane gets the result.
template <int Lanes, class T, class Combine>
__device__ T across_lanes(T v, const Combine& combine) {
  for (int step = Lanes / 2; step > 0; step /= 2) v = combine(v, __shfl_xor_sync(0xffffffffu, v, step));
  return v;
}

// Over all threads of the block, whole warps all; every thread gets the result. `zero` is neutral.
template <class T, class Combine>
__device__ T across_block(T v, T zero, const Combine& combine) {
  __shared__ T of_warp[32];
  v = across_lanes<32>(v, combine);
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = v;
  __syncthreads();
  v = threadIdx.x % 32 < blockDim.x / 32 ? of_warp[threadIdx.x % 32] : zero;
  __syncthreads();
  return across_lanes<32>(v, combine);
}

}  // namespace bq::cuda
