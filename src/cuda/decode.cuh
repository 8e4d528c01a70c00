// Blocks to f32, f16 or bf16 on the GPU: weight = scale * code - min by formats/decode.hpp, compiled without
// contraction, so that the f32 bits are the CPU's; 16-bit outputs are those bits rounded to nearest even.
//
// A thread block takes a tile of blocks. It copies their bytes to shared memory in 16-byte pieces, because single
// blocks (18, 34, 210 bytes) are not aligned; then each thread decodes words of four weights and stores them at once.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>

#include "codec.hpp"
#include "formats/decode.hpp"

namespace bq::cuda {

inline constexpr int decode_threads = 256;

// Blocks per tile: at least 2048 weights, and a multiple of 16, so that tiles of aligned blocks begin aligned.
template <any_format F>
inline constexpr int decode_tile_blocks = std::max(16, 2048 / F::block_size);

// Four weights as `Out` stores them.
template <class Out>
struct alignas(4 * sizeof(Out)) four {
  Out value[4];
};

inline __device__ void store_as(float* to, float x) { *to = x; }
inline __device__ void store_as(__half* to, float x) { *to = __float2half_rn(x); }
inline __device__ void store_as(__nv_bfloat16* to, float x) { *to = __float2bfloat16_rn(x); }

template <any_format F, class Out>
__global__ void __launch_bounds__(decode_threads)
    decode_tile(const unsigned char* blocks, std::int64_t count, Out* out) {
  using block = typename F::block;
  constexpr int tile = decode_tile_blocks<F>;
  __shared__ alignas(16) unsigned char bytes[tile * sizeof(block)];

  const std::int64_t first = std::int64_t{blockIdx.x} * tile;
  const int here = static_cast<int>(min(std::int64_t{tile}, count - first));
  const int size = here * static_cast<int>(sizeof(block));
  const unsigned char* from = blocks + first * static_cast<std::int64_t>(sizeof(block));
  const int wide = reinterpret_cast<std::uintptr_t>(from) % 16 == 0 ? size / 16 : 0;
  for (int i = threadIdx.x; i < wide; i += decode_threads) {
    reinterpret_cast<uint4*>(bytes)[i] = reinterpret_cast<const uint4*>(from)[i];
  }
  for (int i = 16 * wide + threadIdx.x; i < size; i += decode_threads) bytes[i] = from[i];
  __syncthreads();

  Out* to = out + first * F::block_size;
  if constexpr (float_format<F>) {
    for (int i = threadIdx.x; i < here; i += decode_threads) {
      store_as(to + i, F::decode(reinterpret_cast<const block*>(bytes)[i]));
    }
  } else {
    constexpr int words = F::block_size / 4;
    for (int i = threadIdx.x; i < here * words; i += decode_threads) {
      float weights[4];
      decode_word<F>(block_source(bytes + i / words * sizeof(block)), i % words, weights);
      four<Out> rounded;
      for (int j = 0; j < 4; ++j) store_as(rounded.value + j, weights[j]);
      reinterpret_cast<four<Out>*>(to)[i] = rounded;
    }
  }
}

template <any_format F, class Out>
void launch_decode(const unsigned char* blocks, std::int64_t count, void* out, cudaStream_t s) {
  constexpr int tile = decode_tile_blocks<F>;
  const auto grid = static_cast<unsigned>((count + tile - 1) / tile);
  decode_tile<F><<<grid, decode_threads, 0, s>>>(blocks, count, static_cast<Out*>(out));
}

template <any_format F>
void decode_on_device(const unsigned char* blocks, std::int64_t count, element to, void* out, cudaStream_t s) {
  if (to == element::f16) return launch_decode<F, __half>(blocks, count, out, s);
  if (to == element::bf16) return launch_decode<F, __nv_bfloat16>(blocks, count, out, s);
  launch_decode<F, float>(blocks, count, out, s);
}

}  // namespace bq::cuda
