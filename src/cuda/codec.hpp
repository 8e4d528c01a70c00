// Decoders, quantisers and encoders for the fast tier on the GPU, one of each for each format of the registry. They are
// defined in decode.cuh, encode.cuh and recode.cuh, and instantiated in a unit of their own for each format
// (format.cu.in), so that a change in one format rebuilds one unit. They queue work, check no arguments, allocate
// nothing.
#pragma once
#include <cuda_runtime_api.h>

#include <cstdint>

#include "blockquant/cuda.hpp"
#include "byte_matrix.hpp"
#include "formats/format.hpp"

namespace bq::cuda {

// What a grid of one block of threads for every tile of blocks can take, whatever the format's tile.
inline constexpr std::int64_t most_blocks = std::int64_t{0x7fffffff} * 32;

// Rows to be quantised: up to two matrices of one shape, so that keys and values take one launch.
struct encode_task {
  const void* x[2] = {};  // [rows, cols]
  unsigned char* blocks[2] = {};
  int matrices = 1;
  element from = element::f32;
  std::int64_t rows = 0, cols = 0;
  const float* importance = nullptr;        // [cols], or null
  const std::int64_t* slots = nullptr;      // row r of x goes to row slots[r] of the blocks, or nowhere; null: to row r
  std::int64_t slot_count = 0;              // slots are in [0, slot_count); others are skipped
  unsigned long long* first_bad = nullptr;  // lowered to the position of each weight that does not survive; or null
};

// Rounds to the blocks that quantize_blocks<one_lane, F> gives.
template <any_format F>
void encode_on_device(const encode_task& task, cudaStream_t s);

// `count` blocks to floats; `out` aligned to four of them.
template <any_format F>
void decode_on_device(const unsigned char* blocks, std::int64_t count, element to, void* out, cudaStream_t s);

// Blocks of `rows` rows to the bytes of rows first, first + 1, ... of the fast tier; first is a multiple of 8.
template <any_format F>
void recode_on_device(const unsigned char* blocks, std::int64_t first, std::int64_t rows, std::int64_t cols,
                      const byte_matrix& to, cudaStream_t s);

}  // namespace bq::cuda
