// y[tokens, rows] = x[tokens, cols] * w[rows, cols]^T for few tokens, at the speed of memory: weights stay packed up to
// the registers, tensor cores multiply (numerics: fragment.cuh).
//
// A persistent thread block per multiprocessor takes a range of rows of tiles. Its warps share the range's sections of
// 1024 columns: a warp's unit is R rows of tiles x one section, whose sums never leave its registers before they are
// complete; they then meet in shared memory, where they are added in the order of sections. Weights come through a ring
// of each warp's own (tile_ring.cuh), which is filled before the kernel waits for its predecessor. Activations are read
// where they are needed: units at the same time are of one section, so that they come from the first-level cache.
#pragma once
#include <algorithm>

#include "fragment.cuh"
#include "launch.hpp"
#include "matvec.hpp"
#include "tile_ring.cuh"

namespace bq::cuda {

// The pieces of weights of one warp, in order: of each batch, of each of its units, every slice of 256 columns.
template <int R>
struct matvec_walk {
  int last, sections, warps, batch_tiles, batch_sections, col_tiles;  // what does not change
  int tile, section;                                                  // where the batch begins
  int unit, groups, units;                                            // in the batch
  int unit_tile, unit_tiles, unit_section, slice, slice_end;          // of the unit

  __device__ __forceinline__ int tiles_here() const { return min(batch_tiles, last - tile); }
  __device__ __forceinline__ int sections_here() const { return min(batch_sections, sections - section); }
  __device__ __forceinline__ bool at_end() const { return tile >= last; }
  __device__ __forceinline__ bool in_batch() const { return unit < units; }

  __device__ __forceinline__ void start_batch(int warp) {
    groups = (tiles_here() + R - 1) / R;
    units = groups * sections_here();
    unit = warp;
    start_unit();
  }
  __device__ __forceinline__ void start_unit() {
    if (!in_batch()) return;
    unit_section = unit / groups;
    unit_tile = tile + (unit - unit_section * groups) * R;
    unit_tiles = min(R, tile + tiles_here() - unit_tile);
    slice = (section + unit_section) * section_tiles;
    slice_end = min(slice + section_tiles, col_tiles);
  }
  __device__ __forceinline__ void next_unit() {
    unit += warps;
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

// N groups of 8 tokens.
template <any_format F, int N, int R, int Warps, int Blocks>
__global__ void __launch_bounds__(32 * Warps, Blocks) matvec(const __grid_constant__ matvec_call c) {
  extern __shared__ uint4 shared_memory[];
  constexpr int stage_bytes = R * tile<F>::bytes, tile_words = tile_cols / 8;  // of four activations each, twice
  constexpr int lookahead = 8 / N;  // pairs of steps whose activations are loaded ahead
  const int lane = threadIdx.x % 32, warps = blockDim.x / 32;
  const int warp = __shfl_sync(~0u, threadIdx.x / 32, 0);  // the same in all lanes, for the compiler too
  launch_dependents();

  auto* rings = reinterpret_cast<unsigned char*>(shared_memory);
  unsigned char* ring_memory = rings + warp * c.stages * stage_bytes;
  unsigned char* staged = rings + warps * c.stages * stage_bytes + warp * R * fragments<F>::staged_bytes;
  auto* barriers =
      reinterpret_cast<std::uint64_t*>(rings + warps * (c.stages * stage_bytes + R * fragments<F>::staged_bytes));
  auto* partial = reinterpret_cast<float*>(barriers + warps * c.stages);
  const int tokens = c.x.tokens, partial_size = tokens * token_stride;
  float* running = partial + c.batch_tiles * c.batch_sections * partial_size;

  const auto range = [&](unsigned block) { return static_cast<int>(std::int64_t{block} * c.row_tiles / gridDim.x); };
  matvec_walk<R> now{.last = range(blockIdx.x + 1),
                     .sections = (c.col_tiles + section_tiles - 1) / section_tiles,
                     .warps = warps,
                     .batch_tiles = c.batch_tiles,
                     .batch_sections = c.batch_sections,
                     .col_tiles = c.col_tiles,
                     .tile = range(blockIdx.x),
                     .section = 0};
  if (now.at_end()) return;
  now.start_batch(warp);
  matvec_walk<R> ahead = now;

  tile_ring<> ring(ring_memory, barriers + warp * c.stages, c.stages, stage_bytes, lane);
  const unsigned char* source = nullptr;
  int slices = 0;  // that the unit ahead still has
  const auto request = [&] {
    if (slices == 0) {
      while (!ahead.in_batch()) {
        ahead.next_batch(warp);
        if (ahead.at_end()) return;
      }
      source = c.tiles + (std::int64_t{ahead.unit_tile} * c.col_tiles + ahead.slice) * tile<F>::bytes;
      slices = ahead.slice_end - ahead.slice;
    }
    ring.begin(ahead.unit_tiles * tile<F>::bytes);
#pragma unroll
    for (int r = 0; r < R; ++r) {
      const std::int64_t row = std::int64_t{r} * c.col_tiles * tile<F>::bytes;
      if (r < ahead.unit_tiles) ring.copy(r * tile<F>::bytes, source + row, tile<F>::bytes);
    }
    ring.end();
    source += tile<F>::bytes;
    if (--slices == 0) ahead.next_unit();
  };
#pragma unroll 1
  while (!ahead.at_end() && ring.has_room()) request();
  wait_for_predecessors();

  const int token = lane / 4, quad = lane % 4;
  while (!now.at_end()) {
    for (; now.in_batch(); now.next_unit()) {
      const int first = now.unit_tile, count = now.unit_tiles, section = now.unit_section;
      float factor[R][2];
#pragma unroll
      for (int r = 0; r < R; ++r) {
        const float* f = c.factors + (first + min(r, count - 1)) * tile_rows + token;
        factor[r][0] = f[0];
        factor[r][1] = f[8];
      }
      const uint4* x[N];
#pragma unroll
      for (int j = 0; j < N; ++j) {
        // Lanes without a token compute another's once more: loads without conditions run ahead of their use.
        x[j] =
            reinterpret_cast<const uint4*>(c.x.values + std::int64_t{min(8 * j + token, tokens - 1)} * c.x.stride * 2) +
            now.slice * tile_words + quad;
      }
      uint4 b[lookahead][N];
#pragma unroll
      for (int i = 0; i < lookahead; ++i) {
#pragma unroll
        for (int j = 0; j < N; ++j) b[i][j] = x[j][4 * i];
      }
      float sum[R][N][4] = {};
      for (; now.slice < now.slice_end; ++now.slice) {
        const unsigned char* weights = ring_memory + ring.wait();
        __syncwarp();
#pragma unroll
        for (int r = 0; r < R; ++r) {
          fragments<F>::stage(weights + r * tile<F>::bytes, lane, factor[r][0], factor[r][1],
                              staged + r * fragments<F>::staged_bytes);
        }
        __syncwarp();
        fragments<F> operands[R];
#pragma unroll
        for (int r = 0; r < R; ++r) {
          operands[r].open(weights + r * tile<F>::bytes, staged + r * fragments<F>::staged_bytes, lane, factor[r][0],
                           factor[r][1]);
        }
        for_each_step([&]<int Step>(std::integral_constant<int, Step>) {
          constexpr int slot = Step / 2 % lookahead;
#pragma unroll
          for (int r = 0; r < R; ++r) {
            std::uint32_t a[4];
            operands[r].template load<Step>(a);
#pragma unroll
            for (int j = 0; j < N; ++j) {
              mma(sum[r][j], a, Step % 2 ? b[slot][j].z : b[slot][j].x, Step % 2 ? b[slot][j].w : b[slot][j].y);
            }
          }
          if constexpr (Step % 2) {
#pragma unroll
            for (int j = 0; j < N; ++j) b[slot][j] = x[j][4 * (Step / 2 + lookahead)];
          }
        });
#pragma unroll
        for (int j = 0; j < N; ++j) x[j] += tile_words;
        ring.release();
        if (!ahead.at_end()) request();
      }
#pragma unroll
      for (int r = 0; r < R; ++r) {
        float* to = partial + ((first - now.tile + r) * c.batch_sections + section) * partial_size + token;
#pragma unroll
        for (int i = 0; i < 4 * N; ++i) {
          const int n = i / 4 * 8 + 2 * quad + i % 2;
          if (r < count && n < tokens) to[n * token_stride + i % 4 / 2 * 8] = sum[r][i / 4][i % 4];
        }
      }
    }
    __syncthreads();
    const int sections = now.sections_here();
    const bool complete = now.section + sections == now.sections;
#pragma unroll 1
    for (int i = threadIdx.x; i < now.tiles_here() * tokens * tile_rows; i += blockDim.x) {
      const int row = i % tile_rows, n = i / tile_rows % tokens, t = i / tile_rows / tokens;
      const float* from = partial + t * c.batch_sections * partial_size + n * token_stride + row;
      float total = now.section == 0 ? 0.0f : running[i];
#pragma unroll 1
      for (int q = 0; q < sections; ++q) total += from[q * partial_size];
      const std::int64_t out = (std::int64_t{now.tile} + t) * tile_rows + row;
      if (!complete) {
        running[i] = total;
      } else if (out < c.rows) {
        c.y[n * c.rows + out] = total * 0x1p24f / c.factors[out] * c.x.factors[n];
      }
    }
    now.next_batch(warp);
    if (!now.at_end()) __syncthreads();
  }
}

// The division of a multiprocessor for N groups of tokens, as measured on an H200: two thread blocks at a time where
// the registers allow it, so that the next kernel's weights arrive while this one ends.
template <any_format F, int N>
struct matvec_config {
  static constexpr bool large = tile<F>::bytes > 3000;  // formats with many words a lane, or floats
  static constexpr int warps = N == 1 && large ? 8 : 16, blocks = N == 1 ? 2 : 1;
};

template <any_format F, int N>
void launch_matvec(const device_matrix::contents& w, const prepared& x, float* y, stream s) {
  constexpr int rows_at_once = 1;
  using config = matvec_config<F, N>;
  const matvec_shape shape{.stage_bytes = rows_at_once * tile<F>::bytes,
                           .staged_bytes = rows_at_once * fragments<F>::staged_bytes,
                           .tiles_at_once = rows_at_once,
                           .warps = config::warps,
                           .row_tiles = static_cast<int>(w.row_tiles),
                           .sections = static_cast<int>(ceil_div(w.col_tiles, section_tiles)),
                           .tokens = x.tokens};
  const matvec_plan plan = plan_matvec(shape, current_matvec_device());
  const matvec_call call{.tiles = w.tiles.get(),
                         .factors = w.factors.get(),
                         .x = x,
                         .y = y,
                         .rows = w.rows,
                         .row_tiles = static_cast<int>(w.row_tiles),
                         .col_tiles = static_cast<int>(w.col_tiles),
                         .stages = plan.stages,
                         .batch_tiles = plan.batch_tiles,
                         .batch_sections = plan.batch_sections};
  launch(matvec<F, N, rows_at_once, config::warps, config::blocks>, plan.blocks, 32 * plan.warps, plan.shared_bytes, s,
         "matvec", {w.rows, w.cols, x.tokens}, call);
}

template <any_format F>
void matvec_kernels<F>::launch(const device_matrix::contents& w, const prepared& x, float* y, stream s) {
  if constexpr (!activation_format<F>) {  // no matrix has one: transfer::upload
    constexpr int most = 16;              // of one kernel: more cost more than another reading of the weights
    for (int first = 0; first < x.tokens; first += most) {
      const prepared part{x.values + std::int64_t{first} * x.stride * 2, x.factors + first,
                          std::min(most, x.tokens - first), x.stride};
      if (part.tokens <= 8) {
        launch_matvec<F, 1>(w, part, y + first * w.rows, s);
      } else {
        launch_matvec<F, 2>(w, part, y + first * w.rows, s);
      }
    }
  }
}

}  // namespace bq::cuda
