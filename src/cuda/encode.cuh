// Reference quantisers on the GPU: the formats' own, over one_lane (formats/lanes.hpp), one block to a thread, compiled
// without contraction: the bytes are the CPU's.
//
// A thread block takes a tile of consecutive blocks. Weights come through shared memory, as f32, where a thread's row
// is one float longer than a block: threads that read the same weight of their blocks meet no bank conflict. Blocks
// are built in shared memory too, and copied from there in one piece unless their rows go to slots.
#pragma once
#include <algorithm>
#include <type_traits>

#include "arch.cuh"
#include "codec.hpp"
#include "formats/decode.hpp"
#include "formats/quantize.hpp"
#include "launch.hpp"
#include "tile.hpp"

namespace bq::cuda {

// Threads of a tile, each with a block: 32 KiB of weights at most.
template <any_format F>
inline constexpr int encode_threads = std::clamp(8192 / F::block_size, 32, 128);

BQ_HD float load_float(const void* x, element from, std::int64_t i) {
  if (from == element::f16) return f16_to_f32(static_cast<const std::uint16_t*>(x)[i]);
  if (from == element::bf16) return bf16_to_f32(static_cast<const std::uint16_t*>(x)[i]);
  return static_cast<const float*>(x)[i];
}

// Four from the i-th on, aligned to their size.
inline __device__ void load_floats(const void* x, element from, std::int64_t i, float (&v)[4]) {
  if (from == element::f32) {
    const float4 four = *reinterpret_cast<const float4*>(static_cast<const float*>(x) + i);
    v[0] = four.x, v[1] = four.y, v[2] = four.z, v[3] = four.w;
  } else {
    const ushort4 four = *reinterpret_cast<const ushort4*>(static_cast<const std::uint16_t*>(x) + i);
    const std::uint16_t bits[] = {four.x, four.y, four.z, four.w};
#pragma unroll
    for (int k = 0; k < 4; ++k) v[k] = load_float(bits, from, k);
  }
}

// The row of the blocks that row r of x goes to; negative: none.
inline __device__ std::int64_t target_row(const encode_task& t, std::int64_t r) {
  if (!t.slots) return r;
  const std::int64_t slot = t.slots[r];
  return slot < t.slot_count ? slot : -1;
}

// `Together` consecutive values to a thread, which are in one row.
template <any_format F, int Together>
__global__ void __launch_bounds__(encode_threads<F>) encode_floats(const __grid_constant__ encode_task t) {
  begin_early();
  const std::int64_t n = t.rows * t.cols, step = std::int64_t{gridDim.x} * encode_threads<F> * Together;
  const void* x = t.x[blockIdx.y];
  using word = std::conditional_t<sizeof(typename F::block) == 2, std::uint16_t, std::uint32_t>;  // blocks are packed
  struct alignas(Together * sizeof(word)) words {
    word of[Together];
  };
  auto* out = reinterpret_cast<word*>(t.blocks[blockIdx.y]);
  for (std::int64_t i = (std::int64_t{blockIdx.x} * encode_threads<F> + threadIdx.x) * Together; i < n; i += step) {
    std::int64_t to = i;
    if (t.slots) {
      const std::int64_t row = i / t.cols, target = target_row(t, row);
      if (target < 0) continue;
      to += (target - row) * t.cols;
    }
    float v[Together];
    if constexpr (Together > 1) {
      load_floats(x, t.from, i, v);
    } else {
      v[0] = load_float(x, t.from, i);
    }
    words all;
#pragma unroll
    for (int k = 0; k < Together; ++k) {
      const auto encoded = F::encode(v[k]);
      if (t.first_bad && !block_is_finite<F>(encoded)) atomicMin(t.first_bad, static_cast<unsigned long long>(i + k));
      memcpy(&all.of[k], &encoded, sizeof(word));
    }
    *reinterpret_cast<words*>(out + to) = all;
  }
}

// Mean squares of the rows that a tile touches, one to a thread, in the reference's order.
template <coded_format F>
__device__ void tile_mean_squares(const encode_task& t, const void* x, std::int64_t first_row, std::int64_t last_row,
                                  float* out) {
  const std::int64_t row = first_row + threadIdx.x;
  if (row > last_row) return;
  float total = 0;
  for (std::int64_t c = 0; c < t.cols; ++c) {
    const float v = load_float(x, t.from, row * t.cols + c);
    total += v * v;
  }
  out[threadIdx.x] = total / static_cast<float>(t.cols);
}

template <coded_format F, bool Important>
__global__ void __launch_bounds__(encode_threads<F>) encode_tile(const __grid_constant__ encode_task t) {
  using block = typename F::block;
  constexpr int threads = encode_threads<F>, size = sizeof(block), stride = F::block_size + 1;
  __shared__ float weights[threads * stride];
  __shared__ alignas(16) unsigned char bytes[threads * size];
  begin_early();

  const std::int64_t per_row = t.cols / F::block_size, first = std::int64_t{blockIdx.x} * threads;
  const int here = static_cast<int>(min(std::int64_t{threads}, t.rows * per_row - first));
  const void* x = t.x[blockIdx.y];
  bool finite = true;
  for (int i = threadIdx.x; i < here * F::block_size; i += threads) {
    const float v = load_float(x, t.from, first * F::block_size + i);
    weights[i / F::block_size * stride + i % F::block_size] = v;
    finite = finite && is_finite(v);
  }
  float mean_square = 0;
  if constexpr (Important && row_mean_square_format<F>) {
    __shared__ float mean_squares[threads];
    tile_mean_squares<F>(t, x, first / per_row, (first + here - 1) / per_row, mean_squares);
    __syncthreads();
    mean_square = mean_squares[(first + static_cast<int>(threadIdx.x)) / per_row - first / per_row];
  }
  __syncthreads();

  const std::int64_t mine = first + static_cast<int>(threadIdx.x);
  if (static_cast<int>(threadIdx.x) < here) {
    auto* out = reinterpret_cast<block*>(bytes + threadIdx.x * size);
    const float* importance = Important ? t.importance + mine % per_row * F::block_size : nullptr;
    F::template quantize<one_lane>(weights + threadIdx.x * stride, {importance, mean_square}, one_lane::blocks<F>(out));
    if (t.first_bad && !block_is_finite<F>(*out)) {
      atomicMin(t.first_bad, static_cast<unsigned long long>(mine * F::block_size));
    }
  }
  __syncthreads();
  if (t.first_bad && !finite) {
    for (int i = threadIdx.x; i < here * F::block_size; i += threads) {
      if (!is_finite(weights[i / F::block_size * stride + i % F::block_size])) {
        atomicMin(t.first_bad, static_cast<unsigned long long>(first * F::block_size + i));
      }
    }
  }

  unsigned char* to = t.blocks[blockIdx.y];
  if (t.slots) {
    __shared__ std::int64_t targets[threads];
    if (static_cast<int>(threadIdx.x) < here) {
      const std::int64_t row = target_row(t, mine / per_row);
      targets[threadIdx.x] = row < 0 ? -1 : (row * per_row + mine % per_row) * size;
    }
    __syncthreads();
    for (int i = threadIdx.x; i < here * size; i += threads) {
      const std::int64_t at = targets[i / size];
      if (at >= 0) to[at + i % size] = bytes[i];
    }
  } else {
    to += first * size;
    const int wide = reinterpret_cast<std::uintptr_t>(to) % 16 == 0 ? here * size / 16 : 0;
    for (int i = threadIdx.x; i < wide; i += threads) {
      reinterpret_cast<uint4*>(to)[i] = reinterpret_cast<const uint4*>(bytes)[i];
    }
    for (int i = 16 * wide + threadIdx.x; i < here * size; i += threads) to[i] = bytes[i];
  }
}

template <any_format F>
void encode_on_device(const encode_task& task, cudaStream_t s) {
  constexpr int threads = encode_threads<F>;
  const std::int64_t blocks = task.rows * (task.cols / F::block_size), tiles = (blocks + threads - 1) / threads;
  const auto start = [&](auto kernel, std::int64_t grid) {
    constexpr int few = 1024;  // blocks: of more, an early start gains nothing
    launch(grid <= few && launches_early(), kernel,
           dim3(static_cast<unsigned>(grid), static_cast<unsigned>(task.matrices)), threads, 0, s, "quantize",
           {task.rows, task.cols}, task);
  };
  if constexpr (float_format<F>) {
    constexpr int together = 4;
    std::uintptr_t places = static_cast<std::uintptr_t>(task.cols % together) * 4;
    for (int i = 0; i < task.matrices; ++i) {
      places |= reinterpret_cast<std::uintptr_t>(task.x[i]) | reinterpret_cast<std::uintptr_t>(task.blocks[i]);
    }
    constexpr std::int64_t most_tiles = 1 << 16;
    if (places % 16 == 0) return start(encode_floats<F, together>, std::min(ceil_div(tiles, together), most_tiles));
    start(encode_floats<F, 1>, std::min(tiles, most_tiles));
  } else {
    if constexpr (importance_format<F>) {
      if (task.importance) return start(encode_tile<F, true>, tiles);
    }
    start(encode_tile<F, false>, tiles);
  }
}

}  // namespace bq::cuda
