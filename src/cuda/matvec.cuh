// y[tokens, rows] = x[tokens, cols] * w[rows, cols]^T for few tokens, at the speed of memory: weights stay packed up to
// the registers, tensor cores multiply (numerics: fragment.cuh).
//
// A persistent thread block per multiprocessor takes a range of rows of tiles. Its warps share the range's sections of
// 1024 columns: a warp's unit is one row of tiles x one section, whose sums never leave its registers before they are
// complete; they then meet in shared memory, where they are added in the order of sections. Weights come through a ring
// of each warp's own (tile_ring.cuh), which is filled before the kernel waits for its predecessor. Activations are read
// where they are needed: units at the same time are of one section, so that they come from the first-level cache.
//
// Blocks are placed while the kernel that prepares a few tokens still has as many multiprocessors: the last of them
// come beside others of this kernel, and have no rows, unless that makes ranges longer.
#pragma once
#include <algorithm>

#include "fragment.cuh"
#include "launch.hpp"
#include "matvec.hpp"
#include "tile_ring.cuh"

namespace bq::cuda {

inline constexpr int factor_bytes = tile_rows * static_cast<int>(sizeof(float));
template <any_format F>
using matvec_ring = tile_ring<tile<F>::bytes + factor_bytes>;

__device__ __forceinline__ float reciprocal_of_power(float f) {
  return __uint_as_float(0x7f000000u - __float_as_uint(f));
}

// The pieces of weights of one warp, in order: of each batch, of each of its units, every slice of 256 columns.
struct matvec_walk {
  int last, sections, warps, batch_tiles, batch_sections, col_tiles;  // what does not change
  int tile, section;                                                  // where the batch begins
  int tiles_here, sections_here;                                      // of the batch
  int unit_tile, unit_section, slice, slice_end;                      // of the unit, in the batch

  __device__ __forceinline__ bool at_end() const { return tile >= last; }
  __device__ __forceinline__ bool in_batch() const { return unit_section < sections_here; }

  __device__ __forceinline__ void start_batch(int warp) {
    tiles_here = min(batch_tiles, last - tile);
    sections_here = min(batch_sections, sections - section);
    unit_tile = warp;
    unit_section = 0;
    start_unit();
  }
  __device__ __forceinline__ void start_unit() {
    while (unit_tile >= tiles_here) {
      unit_tile -= tiles_here;
      ++unit_section;
    }
    slice = (section + unit_section) * section_tiles;
    slice_end = min(slice + section_tiles, col_tiles);
  }
  __device__ __forceinline__ void next_unit() {
    unit_tile += warps;
    start_unit();
  }
  __device__ __forceinline__ void next_batch(int warp) {
    section += batch_sections;
    if (section >= sections) {
      section = 0;
      tile += batch_tiles;
    }
    if (!at_end()) start_batch(warp);
  }
};

// For a block without rows, where others have so many tiles: it stays for about half of their time. The next kernel's
// blocks would choose the empty multiprocessor first, and two of them share it.
__device__ __forceinline__ void keep_place(int tiles) {
  if constexpr (arch >= 90) {  // kernels overlap
    constexpr int tile_clocks = 64;
    wait_for_predecessors();
    for (const long long end = clock64() + tiles * tile_clocks; clock64() < end;) __nanosleep(200);
  }
}

// At most Tokens tokens: prepared::most_row_tokens, in rows, or 8 or 16 in groups.
template <any_format F, int Tokens, int Warps, int Blocks>
__global__ void __launch_bounds__(32 * Warps, Blocks) matvec(const __grid_constant__ matvec_call c) {
  extern __shared__ uint4 shared_memory[];
  constexpr int N = (Tokens + 7) / 8, stage_bytes = matvec_ring<F>::stage_bytes;  // N groups of 8 tokens
  constexpr int lookahead = (Warps * Blocks > 16 ? 4 : 8) / N;  // pairs of steps whose activations are loaded ahead
  // Words of a pair of steps, four activations of either, from each to the next.
  constexpr int pair_words = Tokens > prepared::most_row_tokens ? 4 * prepared::group_tokens : 4;
  constexpr int tile_words = tile_steps / 2 * pair_words;
  const int lane = threadIdx.x % 32, warps = blockDim.x / 32;
  const int warp = __shfl_sync(~0u, threadIdx.x / 32, 0);  // the same in all lanes, for the compiler too
  launch_dependents();

  auto* rings = reinterpret_cast<unsigned char*>(shared_memory);
  unsigned char* ring_memory = rings + warp * c.stages * stage_bytes;
  unsigned char* staged = rings + warps * c.stages * stage_bytes + warp * fragments<F>::staged_bytes;
  auto* partial = reinterpret_cast<float*>(rings + warps * (c.stages * stage_bytes + fragments<F>::staged_bytes));
  const int tokens = c.x.tokens, partial_size = tokens * token_stride;
  float* powers = partial + c.batch_tiles * c.batch_sections * partial_size;  // of tokens
  float* running = powers + most_kernel_tokens;

  const auto range = [&](int block) { return min(block * c.least_tiles + min(block, c.longer_blocks), c.row_tiles); };
  matvec_walk now{.last = range(static_cast<int>(blockIdx.x) + 1),
                  .sections = (c.col_tiles + section_tiles - 1) / section_tiles,
                  .warps = warps,
                  .batch_tiles = c.batch_tiles,
                  .batch_sections = c.batch_sections,
                  .col_tiles = c.col_tiles,
                  .tile = range(static_cast<int>(blockIdx.x)),
                  .section = 0};
  if (now.at_end()) return keep_place(c.least_tiles * c.col_tiles);
  now.start_batch(warp);
  matvec_walk ahead = now;

  // A unit's first piece brings the factors of its rows along.
  matvec_ring<F> ring(ring_memory, c.stages, lane);
  const unsigned char* source = nullptr;
  int slices = 0;  // that the unit ahead still has
  const auto request = [&] {
    if (slices == 0) {
      while (!ahead.in_batch()) {
        ahead.next_batch(warp);
        if (ahead.at_end()) return;
      }
      const std::int64_t row_tile = ahead.tile + ahead.unit_tile;
      source = c.tiles + (row_tile * c.col_tiles + ahead.slice) * tile<F>::bytes;
      slices = ahead.slice_end - ahead.slice;
      ring.begin(tile<F>::bytes + factor_bytes);
      ring.copy(tile<F>::bytes, reinterpret_cast<const unsigned char*>(c.factors + row_tile * tile_rows), factor_bytes);
    } else {
      ring.begin(tile<F>::bytes);
    }
    ring.copy(0, source, tile<F>::bytes);
    ring.end();
    source += tile<F>::bytes;
    if (--slices == 0) ahead.next_unit();
  };
#pragma unroll 1
  for (int i = 0; i < c.stages && !ahead.at_end(); ++i) {
    request();
    ring.next();
  }
  ring.rewind();

  const int token = lane / 4, quad = lane % 4;
  const unsigned char* x_of[N];  // the lane's activations; lanes without a token compute another's once more
#pragma unroll
  for (int j = 0; j < N; ++j) {
    prepared own = c.x;  // whose order the compiler knows
    own.in = Tokens > prepared::most_row_tokens ? prepared::order::groups : prepared::order::rows;
    x_of[j] = own.values + own.position(min(8 * j + token, tokens - 1), 4 * quad);
  }
  wait_for_predecessors();
  if (threadIdx.x < tokens) copy_async<4>(powers + threadIdx.x, c.x.factors + threadIdx.x, true);
  commit_copies();

  while (!now.at_end()) {
    for (; now.in_batch(); now.next_unit()) {
      const uint4* x[N];
#pragma unroll
      for (int j = 0; j < N; ++j) {
        // Loads without conditions run ahead of their use.
        x[j] = reinterpret_cast<const uint4*>(x_of[j]) + now.slice * tile_words;
      }
      uint4 b[lookahead][N];
#pragma unroll
      for (int i = 0; i < lookahead; ++i) {
#pragma unroll
        for (int j = 0; j < N; ++j) b[i][j] = x[j][pair_words * i];
      }
      float sum[N][4] = {}, factor = 1;  // of row lane % 16
      const auto factor_of = [&](int row) { return __shfl_sync(~0u, factor, row); };
      for (bool fresh = true; now.slice < now.slice_end; ++now.slice, fresh = false) {
        const unsigned char* weights = ring.wait();
        if (fresh) factor = reinterpret_cast<const float*>(weights + tile<F>::bytes)[lane % tile_rows];
        fragments<F>::stage(weights, lane, factor, staged);
        __syncwarp();
        fragments<F> operand;
        operand.open(weights, staged, lane, float_format<F> ? factor_of(token) : 1, float_format<F> ? factor_of(token + 8) : 1);
        for_each_step([&]<int Step>(std::integral_constant<int, Step>) {
          constexpr int slot = Step / 2 % lookahead;
          std::uint32_t a[4];
          operand.template load<Step>(a);
#pragma unroll
          for (int j = 0; j < N; ++j) {
            mma(sum[j], a, Step % 2 ? b[slot][j].z : b[slot][j].x, Step % 2 ? b[slot][j].w : b[slot][j].y);
          }
          if constexpr (Step % 2) {
#pragma unroll
            for (int j = 0; j < N; ++j) b[slot][j] = x[j][pair_words * (Step / 2 + lookahead)];
          }
        });
#pragma unroll
        for (int j = 0; j < N; ++j) x[j] += tile_words;
        __syncwarp();
        if (!ahead.at_end()) request();
        ring.next();
      }
      // The factors are powers of two: taken back before the sections meet or after, the bits are the same.
      const float undo[2] = {reciprocal_of_power(factor_of(token)), reciprocal_of_power(factor_of(token + 8))};
      float* to = partial + (now.unit_tile * c.batch_sections + now.unit_section) * partial_size + token;
#pragma unroll
      for (int i = 0; i < 4 * N; ++i) {
        const int n = i / 4 * 8 + 2 * quad + i % 2, half = i % 4 / 2;
        if (n < tokens) {
          to[n * token_stride + half * 8] = sum[i / 4][i % 4] * 0x1p24f * undo[half];
        }
      }
    }
    wait_copies<0>();
    __syncthreads();
    const bool complete = now.section + now.sections_here == now.sections;
    const int row = threadIdx.x % tile_rows;
#pragma unroll 1
    for (int i = threadIdx.x / tile_rows; i < now.tiles_here * tokens; i += blockDim.x / tile_rows) {
      const int t = i / tokens, n = i - t * tokens;
      const float* from = partial + t * c.batch_sections * partial_size + n * token_stride + row;
      float* before = running + i * tile_rows + row;
      float total = now.section == 0 ? 0.0f : *before;
#pragma unroll 4
      for (int q = 0; q < now.sections_here; ++q) total += from[q * partial_size];
      const std::int64_t out = (std::int64_t{now.tile} + t) * tile_rows + row;
      if (!complete) {
        *before = total;
      } else if (out < c.rows) {
        c.y[n * c.rows + out] = total * powers[n];
      }
    }
    now.next_batch(warp);
    if (!now.at_end()) __syncthreads();
  }
}

// The division of a multiprocessor for so many tokens, as measured on an H200: two thread blocks at a time where
// the registers allow it, so that the next kernel's weights arrive while this one ends. From nine tokens on that takes
// fewer warps, and is faster for tall matrices alone.
template <any_format F, int Tokens, bool Tall>
struct matvec_config {
  static constexpr bool large = tile<F>::bytes > 3200;  // formats with many words a lane, or floats
  static constexpr int blocks = Tokens <= 8 || Tall ? 2 : 1;
  static constexpr int warps = blocks == 2 && large ? 8 : Tall ? 12 : 16;
};

template <any_format F, int Tokens, bool Tall = false>
void launch_matvec(const device_matrix::contents& w, const prepared& x, float* y, stream s) {
  using config = matvec_config<F, Tokens, Tall>;
  const matvec_shape shape{.stage_bytes = matvec_ring<F>::stage_bytes,
                           .staged_bytes = fragments<F>::staged_bytes,
                           .warps = config::warps,
                           .places = config::blocks,
                           .row_tiles = static_cast<int>(w.row_tiles),
                           .sections = static_cast<int>(ceil_div(w.col_tiles, section_tiles)),
                           .tokens = x.tokens};
  const matvec_plan plan = plan_matvec(shape, w.device);
  const matvec_call call{.tiles = w.tiles.get(),
                         .factors = w.factors.get(),
                         .x = x,
                         .y = y,
                         .rows = w.rows,
                         .row_tiles = shape.row_tiles,
                         .least_tiles = plan.least_tiles,
                         .longer_blocks = plan.longer_blocks,
                         .col_tiles = static_cast<int>(w.col_tiles),
                         .stages = plan.stages,
                         .batch_tiles = plan.batch_tiles,
                         .batch_sections = plan.batch_sections};
  launch(w.device.starts_early, matvec<F, Tokens, config::warps, config::blocks>, plan.blocks, 32 * plan.warps,
         plan.shared_bytes, s, "matvec", {w.rows, w.cols, x.tokens}, call);
}

template <any_format F>
void matvec_kernels<F>::launch(const device_matrix::contents& w, const prepared& x, float* y, stream s) {
  if constexpr (!activation_format<F>) {  // no matrix has one: transfer::upload
    constexpr int most = most_kernel_tokens;
    for (int first = 0; first < x.tokens; first += most) {
      const prepared part{x.values + x.position(first, 0), x.factors + first, std::min(most, x.tokens - first),
                          x.stride, x.in};
      if (part.in == prepared::order::rows) {
        launch_matvec<F, prepared::most_row_tokens>(w, part, y + first * w.rows, s);
      } else if (part.tokens <= 8) {
        launch_matvec<F, 8>(w, part, y + first * w.rows, s);
      } else if (is_tall(w.row_tiles, matvec_config<F, most, true>::blocks * w.device.multiprocessors)) {
        launch_matvec<F, most, true>(w, part, y + first * w.rows, s);
      } else {
        launch_matvec<F, most>(w, part, y + first * w.rows, s);
      }
    }
  }
}

}  // namespace bq::cuda
