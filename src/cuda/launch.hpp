// Launches of kernels that take part in programmatic dependent launch (arch.cuh) where the device has it: such a kernel
// may begin while the one before it in the stream still runs.
#pragma once
#include <type_traits>

#include "blockquant/cuda.hpp"
#include "check.hpp"

namespace bq::cuda {

// Whether the current device has it.
inline bool launches_early() {
  int device = 0, major = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "cudaDeviceGetAttribute");
  return major >= 9;
}

// early: launches_early(), of the current device.
template <class... Argument>
void launch(bool early, void (*kernel)(Argument...), int blocks, int threads, int shared_bytes, stream s,
            const char* name, std::initializer_list<std::int64_t> sizes, std::type_identity_t<Argument>... arguments) {
  if (shared_bytes > 48 << 10) {
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes), name, sizes);
  }
  cudaLaunchAttribute programmatic{};
  programmatic.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  programmatic.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(blocks));
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.dynamicSmemBytes = static_cast<std::size_t>(shared_bytes);
  config.stream = s;
  config.attrs = &programmatic;
  config.numAttrs = early ? 1 : 0;
  check(cudaLaunchKernelEx(&config, kernel, arguments...), name, sizes);
}

}  // namespace bq::cuda
