// What GPUs there are, and what products need to know of the current one.
#include "device_matrix.hpp"
#include "launch.hpp"

namespace bq::cuda {

int device_count() noexcept {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
  cudaGetLastError();  // having no GPU must not surface as the error of a later call
  return 0;
}

bool current_device_has_wgmma() {
#ifdef BLOCKQUANT_HAS_WGMMA
  return device_attribute(cudaDevAttrComputeCapabilityMajor) == 9 &&
         device_attribute(cudaDevAttrComputeCapabilityMinor) == 0;
#else
  return false;  // no code for sm_90a in this build
#endif
}

product_device current_product_device() {
  return {.multiprocessors = device_attribute(cudaDevAttrMultiProcessorCount),
          .shared_bytes = device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin),
          .starts_early = launches_early(),
          .has_wgmma = current_device_has_wgmma()};
}

}  // namespace bq::cuda
