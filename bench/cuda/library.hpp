// The vendor's product in bf16, where cuBLAS is installed (BLOCKQUANT_BENCH_CUBLAS): y[tokens, rows] = x * w^T.
#pragma once
#include <cstdint>
#include <stdexcept>

#include "timing.hpp"
#ifdef BLOCKQUANT_BENCH_CUBLAS
#include <cublas_v2.h>
#endif

namespace bench {

#ifdef BLOCKQUANT_BENCH_CUBLAS
class library {
 public:
  static constexpr bool available = true;

  explicit library(cudaStream_t stream) : workspace_(workspace_bytes) {
    check(cublasCreate(&handle_));
    check(cublasSetStream(handle_, stream));
    check(cublasSetWorkspace(handle_, workspace_.get(), workspace_bytes));
  }
  ~library() { cublasDestroy(handle_); }
  library(const library&) = delete;
  library& operator=(const library&) = delete;

  void product(const void* w, const void* x, void* y, std::int64_t rows, std::int64_t cols, std::int64_t tokens) {
    const float one = 1, zero = 0;
    const int m = static_cast<int>(rows), n = static_cast<int>(tokens), k = static_cast<int>(cols);
    check(cublasGemmEx(handle_, CUBLAS_OP_T, CUBLAS_OP_N, m, n, k, &one, w, CUDA_R_16BF, k, x, CUDA_R_16BF, k, &zero, y,
                       CUDA_R_16BF, m, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
  }

 private:
  static constexpr std::size_t workspace_bytes = std::size_t{32} << 20;
  static void check(cublasStatus_t status) {
    if (status != CUBLAS_STATUS_SUCCESS) throw std::runtime_error(cublasGetStatusString(status));
  }
  device_memory workspace_;
  cublasHandle_t handle_ = nullptr;
};
#else
class library {
 public:
  static constexpr bool available = false;
  explicit library(cudaStream_t) {}
  void product(const void*, const void*, void*, std::int64_t, std::int64_t, std::int64_t) {}
};
#endif

}  // namespace bench
