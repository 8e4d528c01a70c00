// Device memory for the GPU's tests, and what they say on a machine without GPU.
#pragma once
#include <cuda_runtime_api.h>
#include <doctest/doctest.h>

#include <memory>
#include <vector>

#include "../error_code.hpp"
#include "../values.hpp"
#include "blockquant/cuda.hpp"

namespace device {

inline bool missing() {
  if (bq::cuda::device_count() > 0) return false;
  MESSAGE("no GPU: not tested on a device");
  return true;
}

struct release {
  void operator()(void* p) const { cudaFree(p); }
};

// n of T on the device. Fresh memory holds bytes 0xa5, so that what nobody wrote shows.
template <class T>
class array {
 public:
  explicit array(std::size_t n) : size_(n) {
    void* p = nullptr;
    REQUIRE(cudaMalloc(&p, std::max<std::size_t>(n, 1) * sizeof(T)) == cudaSuccess);
    memory_.reset(static_cast<T*>(p));
    REQUIRE(cudaMemset(p, 0xa5, n * sizeof(T)) == cudaSuccess);
  }
  array(const std::vector<T>& from) : array(from.size()) {
    REQUIRE(cudaMemcpy(get(), from.data(), from.size() * sizeof(T), cudaMemcpyHostToDevice) == cudaSuccess);
  }
  T* get() const { return memory_.get(); }
  std::size_t size() const { return size_; }
  std::vector<T> read() const {
    std::vector<T> out(size_);
    REQUIRE(cudaMemcpy(out.data(), get(), size_ * sizeof(T), cudaMemcpyDeviceToHost) == cudaSuccess);
    return out;
  }

 private:
  std::size_t size_;
  std::unique_ptr<T[], release> memory_;
};

using test::code_of;
using test::normal;
using test::same_bits;

}  // namespace device
