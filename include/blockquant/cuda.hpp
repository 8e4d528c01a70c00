// Quantised tensors in the memory of NVIDIA GPUs. CMake target blockquant::cuda, built where there is a CUDA compiler;
// the header itself needs no CUDA. Blocks have the same bytes as on the host. A machine without GPU or driver is an
// ordinary state: ask device_count().
//
// Functions work on the calling thread's current device and queue their work on `s` without waiting for it. They are
// thread safe on distinct outputs.
#pragma once
#include <cstdint>

#include "error.hpp"
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

}  // namespace bq::cuda
