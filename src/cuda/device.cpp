// What GPUs there are.
#include <cuda_runtime_api.h>

#include "blockquant/cuda.hpp"

namespace bq::cuda {

int device_count() noexcept {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
  cudaGetLastError();  // having no GPU must not surface as the error of a later call
  return 0;
}

}  // namespace bq::cuda
