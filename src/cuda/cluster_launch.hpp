// Launches of kernels whose thread blocks come in clusters (compute capability 9.0 and later), with programmatic
// dependent launch (arch.cuh). `blocks` is a multiple of `cluster`.
#pragma once
#include <type_traits>

#include "blockquant/cuda.hpp"
#include "check.hpp"

namespace bq::cuda {

template <class... Argument>
void launch_clusters(int cluster, void (*kernel)(Argument...), int blocks, int threads, int shared_bytes, stream s,
                     const char* name, std::initializer_list<std::int64_t> sizes,
                     std::type_identity_t<Argument>... arguments) {
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes), name, sizes);
  cudaLaunchAttribute attributes[2]{};
  attributes[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attributes[0].val.programmaticStreamSerializationAllowed = 1;
  attributes[1].id = cudaLaunchAttributeClusterDimension;
  attributes[1].val.clusterDim = {static_cast<unsigned>(cluster), 1, 1};
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(blocks));
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.dynamicSmemBytes = static_cast<std::size_t>(shared_bytes);
  config.stream = s;
  config.attrs = attributes;
  config.numAttrs = 2;
  check(cudaLaunchKernelEx(&config, kernel, arguments...), name, sizes);
}

}  // namespace bq::cuda
