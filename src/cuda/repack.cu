// Blocks as in the file to tiles (tile.hpp) and back, and the factor of each row, on the GPU. A thread block moves one
// tile through shared memory: whole rows of blocks on one side, whole tiles on the other.
#include <algorithm>
#include <array>
#include <tuple>

#include "codec.hpp"
#include "device_matrix.hpp"
#include "formats/registry.hpp"
#include "row_factor.hpp"

namespace bq::cuda {

namespace {

constexpr int threads = 256;

// Moves bytes of the rows of tile (blockIdx.y, blockIdx.x) between `blocks` and [16][row_bytes of the tile] in `rows`.
template <any_format F, class Move>
__device__ void for_tile_rows(std::int64_t rows, std::int64_t cols, Move move) {
  constexpr int size = sizeof(typename F::block), width = tile<F>::blocks * size;
  const std::int64_t row_bytes = cols / F::block_size * size, first = std::int64_t{blockIdx.x} * width;
  const int here = static_cast<int>(min(std::int64_t{width}, row_bytes - first));
  for (int i = threadIdx.x; i < tile_rows * width; i += threads) {
    const int row = i / width, at = i % width;
    const std::int64_t global_row = std::int64_t{blockIdx.y} * tile_rows + row;
    move(i, global_row < rows && at < here ? global_row * row_bytes + first + at : -1);
  }
}

template <any_format F, bool Pack>
__device__ void permute(const unsigned char* from, unsigned char* to) {
  constexpr int size = sizeof(typename F::block);
  for (int i = threadIdx.x; i < tile_rows * tile<F>::blocks; i += threads) {
    const int base = i * size;
    tile<F>::for_each_unit(i / tile<F>::blocks, i % tile<F>::blocks, [&](int position, int at, int bytes) {
      for (int k = 0; k < bytes; ++k) {
        if constexpr (Pack) {
          to[position + k] = from[base + at + k];
        } else {
          to[base + at + k] = from[position + k];
        }
      }
    });
  }
}

template <any_format F>
__global__ void __launch_bounds__(threads)
    pack_tile(const unsigned char* blocks, std::int64_t rows, std::int64_t cols, unsigned char* tiles) {
  extern __shared__ uint4 memory[];
  auto* in = reinterpret_cast<unsigned char*>(memory);
  unsigned char* out = in + tile<F>::bytes;
  for_tile_rows<F>(rows, cols, [&](int i, std::int64_t at) { in[i] = at < 0 ? 0 : blocks[at]; });
  __syncthreads();
  permute<F, true>(in, out);
  __syncthreads();
  tile<F>::template exchange_bits<true>(out, threadIdx.x, threads);
  __syncthreads();
  auto* to = reinterpret_cast<uint4*>(tiles + (std::int64_t{blockIdx.y} * gridDim.x + blockIdx.x) * tile<F>::bytes);
  for (int i = threadIdx.x; i < tile<F>::bytes / 16; i += threads) to[i] = reinterpret_cast<const uint4*>(out)[i];
}

template <any_format F>
__global__ void __launch_bounds__(threads)
    unpack_tile(const unsigned char* tiles, std::int64_t rows, std::int64_t cols, unsigned char* blocks) {
  extern __shared__ uint4 memory[];
  auto* in = reinterpret_cast<unsigned char*>(memory);
  unsigned char* out = in + tile<F>::bytes;
  const auto* from =
      reinterpret_cast<const uint4*>(tiles + (std::int64_t{blockIdx.y} * gridDim.x + blockIdx.x) * tile<F>::bytes);
  for (int i = threadIdx.x; i < tile<F>::bytes / 16; i += threads) memory[i] = from[i];
  __syncthreads();
  tile<F>::template exchange_bits<false>(in, threadIdx.x, threads);
  __syncthreads();
  permute<F, false>(in, out);
  __syncthreads();
  for_tile_rows<F>(rows, cols, [&](int i, std::int64_t at) {
    if (at >= 0) blocks[at] = out[i];
  });
}

// One warp a row.
template <any_format F>
__global__ void __launch_bounds__(threads)
    find_factors(const unsigned char* blocks, std::int64_t rows, std::int64_t cols, float* factors) {
  constexpr int size = sizeof(typename F::block);
  const std::int64_t row = (std::int64_t{blockIdx.x} * threads + threadIdx.x) / 32, row_blocks = cols / F::block_size;
  row_range range;
  if (row < rows) {
    for (std::int64_t b = threadIdx.x % 32; b < row_blocks; b += 32) {
      range.template add<F>(blocks + (row * row_blocks + b) * size);
    }
  }
  for (int step = 16; step > 0; step /= 2) {
    range.scale = fmaxf(range.scale, __shfl_xor_sync(~0u, range.scale, step));
    range.minimum = fmaxf(range.minimum, __shfl_xor_sync(~0u, range.minimum, step));
  }
  if (threadIdx.x % 32 == 0 && row < (rows + tile_rows - 1) / tile_rows * tile_rows) {
    factors[row] = row_factor<F>(range);
  }
}

template <any_format F>
void pack(const unsigned char* blocks, std::int64_t rows, std::int64_t cols, unsigned char* tiles, float* factors,
          stream s) {
  const dim3 grid(static_cast<unsigned>(ceil_div(cols, tile_cols)), static_cast<unsigned>(ceil_div(rows, tile_rows)));
  pack_tile<F><<<grid, threads, 2 * tile<F>::bytes, s>>>(blocks, rows, cols, tiles);
  check(cudaGetLastError(), "pack_tile", {rows, cols});
  const auto warps = static_cast<unsigned>(ceil_div(grid.y * std::int64_t{tile_rows} * 32, threads));
  find_factors<F><<<warps, threads, 0, s>>>(blocks, rows, cols, factors);
  check(cudaGetLastError(), "find_factors", {rows, cols});
}

template <any_format F>
void unpack(const unsigned char* tiles, std::int64_t rows, std::int64_t cols, unsigned char* blocks, stream s) {
  const dim3 grid(static_cast<unsigned>(ceil_div(cols, tile_cols)), static_cast<unsigned>(ceil_div(rows, tile_rows)));
  unpack_tile<F><<<grid, threads, 2 * tile<F>::bytes, s>>>(tiles, rows, cols, blocks);
  check(cudaGetLastError(), "unpack_tile", {rows, cols});
}

template <class List>
struct repackers;

template <any_format... F>
struct repackers<std::tuple<F...>> {
  static constexpr std::array<repacker, sizeof...(F)> rows{
      repacker{F::id, F::block_size, tile<F>::bytes, activation_format<F>, pack<F>, recode_on_device<F>, unpack<F>}...};
};

}  // namespace

const repacker& repacker_of(type id) {
  const auto& table = repackers<all_formats>::rows;
  return *std::find_if(table.begin(), table.end(), [&](const repacker& r) { return r.id == id; });
}

}  // namespace bq::cuda
