// Blocks to f32 on the GPU, for every format of the registry: weight = scale * code - min by formats/decode.hpp,
// compiled without contraction, so that the bits are the CPU's.
//
// A thread block takes a tile of blocks. It copies their bytes to shared memory in 16-byte pieces, because single
// blocks (18, 34, 210 bytes) are not aligned; then each thread decodes words of four weights and stores them as one
// float4.
#include <algorithm>
#include <array>
#include <limits>
#include <string>
#include <tuple>

#include "blockquant/cuda.hpp"
#include "check.hpp"
#include "formats/decode.hpp"
#include "formats/registry.hpp"

namespace bq::cuda {

namespace {

constexpr int threads = 256;

// Blocks per tile: at least 2048 weights, and a multiple of 16, so that tiles of aligned blocks begin aligned.
template <any_format F>
constexpr int tile_blocks = std::max(16, 2048 / F::block_size);

template <any_format F>
__global__ void __launch_bounds__(threads) decode_tile(const unsigned char* blocks, std::int64_t count, float* out) {
  using block = typename F::block;
  constexpr int tile = tile_blocks<F>;
  __shared__ alignas(16) unsigned char bytes[tile * sizeof(block)];

  const std::int64_t first = std::int64_t{blockIdx.x} * tile;
  const int here = static_cast<int>(min(std::int64_t{tile}, count - first));
  const int size = here * static_cast<int>(sizeof(block));
  const unsigned char* from = blocks + first * static_cast<std::int64_t>(sizeof(block));
  const int wide = reinterpret_cast<std::uintptr_t>(from) % 16 == 0 ? size / 16 : 0;
  for (int i = threadIdx.x; i < wide; i += threads) {
    reinterpret_cast<uint4*>(bytes)[i] = reinterpret_cast<const uint4*>(from)[i];
  }
  for (int i = 16 * wide + threadIdx.x; i < size; i += threads) bytes[i] = from[i];
  __syncthreads();

  float* to = out + first * F::block_size;
  if constexpr (float_format<F>) {
    for (int i = threadIdx.x; i < here; i += threads) to[i] = F::decode(reinterpret_cast<const block*>(bytes)[i]);
  } else {
    constexpr int words = F::block_size / 4;
    for (int i = threadIdx.x; i < here * words; i += threads) {
      float4 weights;
      decode_word<F>(block_source(bytes + i / words * sizeof(block)), i % words, &weights.x);
      reinterpret_cast<float4*>(to)[i] = weights;
    }
  }
}

struct decoder {
  type id;
  int block_size;
  int tile;  // blocks
  void (*kernel)(const unsigned char* blocks, std::int64_t count, float* out);
};

template <class List>
struct decoders;

template <any_format... F>
struct decoders<std::tuple<F...>> {
  static constexpr std::array<decoder, sizeof...(F)> rows{
      decoder{F::id, F::block_size, tile_blocks<F>, decode_tile<F>}...};
};

}  // namespace

void dequantize(type from, const void* blocks, std::int64_t rows, std::int64_t cols, float* out, stream s) {
  row_bytes(from, cols);  // checks type and cols
  if (rows < 0) {
    throw error({.code = errc::bad_shape, .message = "negative number of rows", .found = std::to_string(rows)});
  }
  if (rows == 0) return;
  if (!blocks || !out || reinterpret_cast<std::uintptr_t>(out) % 16 != 0) {
    throw error({.code = errc::invalid_argument,
                 .message = "blocks and out must be device pointers",
                 .expected = "neither null, out aligned to 16 bytes"});
  }
  const auto& table = decoders<all_formats>::rows;
  const decoder& d = *std::find_if(table.begin(), table.end(), [&](const decoder& r) { return r.id == from; });
  const std::int64_t row_blocks = cols / d.block_size;
  const std::int64_t limit = std::int64_t{std::numeric_limits<int>::max()} * d.tile;  // the largest grid
  if (rows > limit / row_blocks) {
    throw error({.code = errc::out_of_range,
                 .message = "too many weights for one call",
                 .expected = "at most " + std::to_string(limit) + " blocks",
                 .found = std::to_string(rows) + " x " + std::to_string(row_blocks)});
  }
  const std::int64_t count = rows * row_blocks;
  const auto grid = static_cast<unsigned>((count + d.tile - 1) / d.tile);
  d.kernel<<<grid, threads, 0, s>>>(static_cast<const unsigned char*>(blocks), count, out);
  check(cudaGetLastError(), "dequantize kernel");
}

}  // namespace bq::cuda
