// Every call of the CUDA runtime goes through check(), so that none of its errors is lost; and memory with owners.
#pragma once
#include <cuda_runtime_api.h>

#include <initializer_list>
#include <memory>

#include "blockquant/error.hpp"

namespace bq::cuda {

// Throws errc::device when `result` is an error of `call`, which was given `sizes`.
inline void check(cudaError_t result, const char* call, std::initializer_list<std::int64_t> sizes = {}) {
  if (result == cudaSuccess) return;
  std::string subject = call;
  for (const std::int64_t size : sizes) subject += (&size == sizes.begin() ? ": " : " x ") + std::to_string(size);
  throw error({.code = errc::device,
               .message = "the CUDA runtime refused a call",
               .subject = subject,
               .expected = cudaGetErrorName(cudaSuccess),
               .found = std::string(cudaGetErrorName(result)) + ": " + cudaGetErrorString(result)});
}

// An attribute of the current device.
inline int device_attribute(cudaDeviceAttr attribute) {
  int device = 0, value = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&value, attribute, device), "cudaDeviceGetAttribute");
  return value;
}

template <auto Free>
struct freed_by {
  void operator()(void* p) const noexcept { Free(p); }
};
template <class T>
using device_array = std::unique_ptr<T[], freed_by<cudaFree>>;
using pinned_bytes = std::unique_ptr<std::byte[], freed_by<cudaFreeHost>>;

template <class T>
device_array<T> allocate(std::size_t count) {
  void* p = nullptr;
  check(cudaMalloc(&p, count * sizeof(T)), "cudaMalloc", {static_cast<std::int64_t>(count * sizeof(T))});
  return device_array<T>(static_cast<T*>(p));
}

}  // namespace bq::cuda
