// Quantised tensors in the memory of NVIDIA GPUs, and products with them. CMake target blockquant::cuda, built where
// there is a CUDA compiler; the header itself needs no CUDA. A machine without GPU or driver is an ordinary state: ask
// device_count().
//
// Functions work on the calling thread's current device and queue their work on `s`. Unless they say otherwise they
// neither wait nor allocate, and can be captured into CUDA graphs. They are thread safe on distinct outputs. Errors of
// queued work surface at a later call, as errc::device, which names the call, its sizes and the driver's words.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "error.hpp"
#include "parallel.hpp"
#include "tensor.hpp"
#include "tier.hpp"
#include "types.hpp"

struct CUstream_st;

namespace bq::cuda {

using stream = CUstream_st*;  // the same type as cudaStream_t; null is the default stream

// GPUs that this process can use now; 0 without GPU or driver.
int device_count() noexcept;

// Decodes blocks [rows, cols] of type `from` to f32 [rows, cols], row-major. Both pointers are device memory and must
// not overlap; `out` is aligned to 16 bytes, `blocks` to any (16 is fastest). The bits are those of bq::dequantize,
// except that a NaN may become another NaN. Throws errc::unknown_type, errc::bad_shape (negative rows, cols no positive
// multiple of the block size), errc::out_of_range (sizes beyond 63 bits or one kernel's grid), errc::invalid_argument
// (null or misaligned `out`, null `blocks`), errc::device (the driver refused).
void dequantize(type from, const void* blocks, std::int64_t rows, std::int64_t cols, float* out, stream s = nullptr);

// Weights [rows, cols] in device memory, for one tier. `exact`: the bytes of the file in another order
// (src/cuda/tile.hpp), as many, but for rows rounded up to 16, cols to 256, and four bytes a row. `fast`: a byte for
// each weight, of any type, encoded anew under a scale for 256 columns (src/cuda/byte_matrix.hpp), with rows rounded up
// to 8 and cols to 256. Used by any number of products at the same time.
class device_matrix {
 public:
  device_matrix() noexcept;  // of no rows
  ~device_matrix();          // work that uses it has to be complete
  device_matrix(device_matrix&& other) noexcept;
  device_matrix& operator=(device_matrix&& other) noexcept;

  type id() const noexcept;
  bq::tier tier() const noexcept;
  std::int64_t rows() const noexcept;
  std::int64_t cols() const noexcept;
  std::uint64_t bytes() const noexcept;  // of device memory

  struct contents;
  explicit device_matrix(std::unique_ptr<contents> c) noexcept;  // for the library
  const contents& view() const noexcept;                         // likewise; of a matrix with rows

 private:
  std::unique_ptr<contents> contents_;
};

// Moves weights to the current device and back, through a few megabytes of page-locked memory that it keeps, so that
// any number of matrices costs one such allocation. Used by one thread at a time.
class transfer {
 public:
  // `threads` copy from and to the caller's memory (null: the calling thread). Throws errc::device.
  explicit transfer(executor* threads = nullptr, stream s = nullptr);
  ~transfer();
  transfer(const transfer&) = delete;
  transfer& operator=(const transfer&) = delete;

  // Returns when the weights are there; w.blocks, which may be a mapped file, is read once, front to back. Throws
  // errc::unknown_type, errc::unsupported_type (a type for activations), errc::bad_shape (rows or cols below 1, cols no
  // multiple of the block size, another number of bytes), errc::invalid_argument (tier::precise: exact products on the
  // GPU round activations to 11 bits as it is), errc::device.
  device_matrix upload(const matrix& w, bq::tier tier = bq::tier::exact);

  // The very bytes that were uploaded. Throws errc::bad_shape (blocks of another size), errc::invalid_argument (weights
  // of the fast tier, which are not those of the file), errc::device.
  void download(const device_matrix& w, std::span<std::byte> blocks);

 private:
  struct buffers;
  std::unique_ptr<buffers> buffers_;
};

// What activations are given as.
enum class element { f32, f16, bf16 };

// Activations [tokens, cols] made ready for products of one tier. `exact`: f16, each token with a power of two that
// brings its largest magnitude near f16's, so that no token overflows, whatever its size. `fast`: 8 bits under a scale
// for 256 columns. The caller owns `memory`: device memory of activation_bytes(), aligned to 256 bytes.
struct activations {
  void* memory = nullptr;
  std::int64_t tokens = 0, cols = 0;
  bq::tier tier = bq::tier::exact;
};

// Throws errc::bad_shape (tokens below 0, cols below 1), errc::out_of_range, errc::invalid_argument (tier::precise).
std::size_t activation_bytes(std::int64_t tokens, std::int64_t cols, bq::tier tier = bq::tier::exact);

// Fills `out` from x [tokens, cols] in device memory, row-major, aligned to its elements. Serves any number of products
// with weights of out.cols columns, in any type, uploaded for out.tier. A NaN or an infinity makes its token's outputs
// NaN. Throws errc::bad_shape, errc::invalid_argument (a null pointer, misaligned memory, tier::precise), errc::device.
void prepare(const void* x, element e, const activations& out, stream s = nullptr);

// y [tokens, rows] = x [tokens, cols] * w^T, f32, row-major, in device memory. `exact`: the numerics are those of
// src/cuda/fragment.cuh, every weight at its own value in f16, sums in f32, in an order that depends on cols alone.
// `fast`: weights and activations have 8 bits (src/cuda/fast.hpp), about 1.6 times as fast from 512 tokens on. Either
// way a token's outputs have the same bits in any batch and in any run. On GPUs from compute capability
// 9.0 on, the weights are read while the kernel before this one in the stream still runs (programmatic dependent
// launch): they must not be written by it. Throws errc::bad_shape (x.cols is not w's),
// errc::invalid_argument (a null pointer, weights of another tier), errc::device.
void matmul(const device_matrix& w, const activations& x, float* y, stream s = nullptr);

}  // namespace bq::cuda
