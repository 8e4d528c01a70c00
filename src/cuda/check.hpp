// Every call of the CUDA runtime goes through check(), so that none of its errors is lost.
#pragma once
#include <cuda_runtime_api.h>

#include "blockquant/error.hpp"

namespace bq::cuda {

// Throws errc::device when `result` is an error of `call`. Errors of queued work surface at a later call.
inline void check(cudaError_t result, const char* call) {
  if (result == cudaSuccess) return;
  throw error({.code = errc::device,
               .message = "the CUDA runtime refused a call",
               .subject = call,
               .expected = cudaGetErrorName(cudaSuccess),
               .found = std::string(cudaGetErrorName(result)) + ": " + cudaGetErrorString(result)});
}

}  // namespace bq::cuda
