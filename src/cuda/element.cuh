// Activations in the element types that callers have them in.
#pragma once
#include <cuda_fp16.h>

#include "blockquant/cuda.hpp"
#include "formats/float16.hpp"

namespace bq::cuda {

struct bf16_bits {
  std::uint16_t bits;
};
__device__ inline float to_f32(float x) { return x; }
__device__ inline float to_f32(__half x) { return __half2float(x); }
__device__ inline float to_f32(bf16_bits x) { return bf16_to_f32(x.bits); }

// Two numbers as f16, the first in the lower half.
__device__ inline std::uint32_t f16_pair(float low, float high) {
  const __half2 both = __floats2half2_rn(low, high);
  return *reinterpret_cast<const std::uint32_t*>(&both);
}

// What a warp takes at a time of a row, and a lane of that.
inline constexpr int slice_cols = 256, lane_cols = slice_cols / 32;

// Columns [first, first + lane_cols) of a row of x [rows, cols]; zeros after the last. 16 bytes at a time where all
// rows are aligned to that.
template <class T>
__device__ void load_columns(const T* x, std::int64_t cols, std::int64_t row, int first, float (&v)[lane_cols]) {
  constexpr int together = 16 / static_cast<int>(sizeof(T));
  const T* from = x + row * cols;
  if (reinterpret_cast<std::uintptr_t>(x) % 16 == 0 && cols % together == 0 && first + lane_cols <= cols) {
#pragma unroll
    for (int i = 0; i < lane_cols; i += together) {
      const uint4 words = *reinterpret_cast<const uint4*>(from + first + i);
      const T* values = reinterpret_cast<const T*>(&words);
#pragma unroll
      for (int k = 0; k < together; ++k) v[i + k] = to_f32(values[k]);
    }
  } else {
#pragma unroll
    for (int i = 0; i < lane_cols; ++i) v[i] = first + i < cols ? to_f32(from[first + i]) : 0.0f;
  }
}

// visit(x) with a pointer to elements of that type.
template <class Visit>
void with_elements(const void* x, element e, Visit visit) {
  if (e == element::f32) return visit(static_cast<const float*>(x));
  if (e == element::f16) return visit(static_cast<const __half*>(x));
  visit(static_cast<const bf16_bits*>(x));
}

}  // namespace bq::cuda
