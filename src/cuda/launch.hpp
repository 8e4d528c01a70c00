// Launches of kernels that take part in programmatic dependent launch (arch.cuh) where the device has it: such a kernel
// may begin while the one before it in the stream still runs. Thread blocks may come in clusters.
#pragma once
#include <type_traits>

#include "blockquant/cuda.hpp"
#include "check.hpp"

namespace bq::cuda {

// Whether the current device has it.
inline bool launches_early() { return device_attribute(cudaDevAttrComputeCapabilityMajor) >= 9; }

// Thread blocks of so much shared memory that run at a time, if nothing else limits them.
inline int blocks_at_once(int shared_bytes) {
  return device_attribute(cudaDevAttrMultiProcessorCount) *
         (device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin) / shared_bytes);
}

// early: launches_early(), of the current device; cluster: the thread blocks of one, along x, where the grid is a
// multiple; more than one needs compute capability 9.0.
template <class... Argument>
void launch_clusters(int cluster, bool early, void (*kernel)(Argument...), dim3 grid, int threads, int shared_bytes,
                     stream s, const char* name, std::initializer_list<std::int64_t> sizes,
                     std::type_identity_t<Argument>... arguments) {
  if (shared_bytes > 48 << 10) {
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes), name, sizes);
  }
  cudaLaunchAttribute attributes[2]{};
  cudaLaunchConfig_t config{};
  if (early) {
    cudaLaunchAttribute& programmatic = attributes[config.numAttrs++];
    programmatic.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    programmatic.val.programmaticStreamSerializationAllowed = 1;
  }
  if (cluster > 1) {
    cudaLaunchAttribute& clusters = attributes[config.numAttrs++];
    clusters.id = cudaLaunchAttributeClusterDimension;
    clusters.val.clusterDim = {static_cast<unsigned>(cluster), 1, 1};
  }
  config.gridDim = grid;
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.dynamicSmemBytes = static_cast<std::size_t>(shared_bytes);
  config.stream = s;
  config.attrs = attributes;
  check(cudaLaunchKernelEx(&config, kernel, arguments...), name, sizes);
}

template <class... Argument>
void launch(bool early, void (*kernel)(Argument...), dim3 grid, int threads, int shared_bytes, stream s,
            const char* name, std::initializer_list<std::int64_t> sizes, std::type_identity_t<Argument>... arguments) {
  launch_clusters(1, early, kernel, grid, threads, shared_bytes, s, name, sizes, arguments...);
}

}  // namespace bq::cuda
