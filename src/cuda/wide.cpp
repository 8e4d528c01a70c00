// When products of many tokens take the kernels made for Hopper.
#include "wide.hpp"

#include "matvec.hpp"

namespace bq::cuda {

bool takes_wide(std::int64_t tokens) {
  if (!BLOCKQUANT_HAS_WGMMA || tokens <= most_matvec_tokens) return false;
  int device = 0, major = 0, minor = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "cudaDeviceGetAttribute");
  check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device), "cudaDeviceGetAttribute");
  return major == 9 && minor == 0;
}

}  // namespace bq::cuda
