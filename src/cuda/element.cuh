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

// visit(x) with a pointer to elements of that type.
template <class Visit>
void with_elements(const void* x, element e, Visit visit) {
  if (e == element::f32) return visit(static_cast<const float*>(x));
  if (e == element::f16) return visit(static_cast<const __half*>(x));
  visit(static_cast<const bf16_bits*>(x));
}

}  // namespace bq::cuda
