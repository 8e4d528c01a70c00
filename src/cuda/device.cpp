// What GPUs there are, and what products need to know of the current one.
#include <algorithm>

#include "device_matrix.hpp"

namespace bq::cuda {

int device_count() noexcept {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
  cudaGetLastError();  // having no GPU must not surface as the error of a later call
  return 0;
}

bool current_device_has_wgmma() {
#ifdef BLOCKQUANT_HAS_WGMMA
  int device = 0, major = 0, minor = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "cudaDeviceGetAttribute");
  check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device), "cudaDeviceGetAttribute");
  return major == 9 && minor == 0;
#else
  return false;  // no code for sm_90a in this build
#endif
}

product_device current_product_device() {
  int device = 0, multiprocessors = 0, per_block = 0, major = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  const auto ask = [&](int& value, cudaDeviceAttr what) {
    check(cudaDeviceGetAttribute(&value, what, device), "cudaDeviceGetAttribute");
  };
  ask(multiprocessors, cudaDevAttrMultiProcessorCount);
  ask(per_block, cudaDevAttrMaxSharedMemoryPerBlockOptin);
  ask(major, cudaDevAttrComputeCapabilityMajor);
  return {.multiprocessors = multiprocessors,
          .shared_bytes = per_block,
          .starts_early = major >= 9,
          .has_wgmma = current_device_has_wgmma()};
}

}  // namespace bq::cuda
