// y[tokens, rows] = x[tokens, cols] * w[rows, cols]^T for few tokens, at the speed of memory: weights stay packed up to
// the registers, tensor cores multiply (numerics: fragment.cuh).
//
// A persistent thread block per multiprocessor takes a range of rows of tiles. Its warps share the range's sections of
// 1024 columns: a warp's unit is one row of tiles x one section, whose sums never leave its registers before they are
// complete; they then meet in shared memory, where they are added in the order of sections. Weights come through a ring
// of each warp's own (tile_ring.cuh), which is filled before the kernel waits for its predecessor. Activations are read
// where they are needed: units at the same time are of one section, so that they come from the first-level cache. Where
// the cache holds all of them, every warp gets as many pieces as another instead: then two may share a unit.
//
// What a warp does next is worked out before its predecessor ends, and lies in shared memory: the compiler would find
// it again after, one integer division after the other.
//
// A block fills a multiprocessor, whose registers and shared memory are its own: so the next kernel may be placed from
// the start, and its blocks begin where this one's have ended.
#pragma once
#include <algorithm>
#include <cstddef>

#include "fragment.cuh"
#include "launch.hpp"
#include "matvec.hpp"
#include "tile_ring.cuh"

namespace bq::cuda {

template <any_format F>
using matvec_ring = tile_ring<tile<F>::bytes>;

// Shared memory of each warp besides its notes.
template <any_format F>
inline constexpr int matvec_warp_bytes = matvec_ring<F>::bytes + fragments<F>::staged_bytes;

__device__ __forceinline__ float reciprocal_of_power(float f) {
  return __uint_as_float(0x7f000000u - __float_as_uint(f));
}

// Between warp i - 1, which arrives, and warp i, which waits for what that has written to shared memory.
__device__ __forceinline__ void pair_arrive(int i) { asm volatile("bar.arrive %0, 64;" ::"r"(i) : "memory"); }
__device__ __forceinline__ void pair_sync(int i) { asm volatile("bar.sync %0, 64;" ::"r"(i) : "memory"); }

// Where it is there; else v stays, so that v keeps its registers.
__device__ __forceinline__ void load_if(bool there, const uint4* from, uint4& v) {
  asm("{\n .reg .pred p;\n setp.ne.u32 p, %5, 0;\n @p ld.global.v4.u32 {%0, %1, %2, %3}, [%4];\n}"
      : "+r"(v.x), "+r"(v.y), "+r"(v.z), "+r"(v.w)
      : "l"(from), "r"(static_cast<unsigned>(there)));
}

// Of at most N groups of 8 tokens, 1 or 2.
template <any_format F, int N>
__global__ void __launch_bounds__(32 * matvec_warps, 1) matvec(const __grid_constant__ matvec_call c) {
  extern __shared__ uint4 shared_memory[];
  // Pairs of steps whose activations are loaded ahead: fewer where many words and scales need the registers.
  constexpr bool cramped = N > 1 && tile<F>::bytes > 3200 && fragments<F>::groups > 8;
  constexpr int lookahead = (cramped ? 4 : 8) / N;
  // Compilers bring loads without a condition close to their use where scales of many groups need registers.
  constexpr bool kept_loads = fragments<F>::groups > 8 && N == 1;
  // Words of a pair of steps, four activations of either, from each to the next.
  constexpr int pair_words = 4 * prepared::group_tokens;
  constexpr int tile_words = tile_steps / 2 * pair_words;
  const int lane = threadIdx.x % 32, warps = blockDim.x / 32;
  const int warp = __shfl_sync(~0u, threadIdx.x / 32, 0);  // the same in all lanes, for the compiler too
  launch_dependents();

  auto* rings = reinterpret_cast<unsigned char*>(shared_memory);
  unsigned char* staged = rings + warps * matvec_ring<F>::bytes + warp * fragments<F>::staged_bytes;
  const int notes_at = warps * matvec_warp_bytes<F>;
  static_assert(offsetof(matvec_notes, barriers) == 0 &&
                sizeof(matvec_notes::barriers) == matvec_ring<F>::stages * matvec_ring<F>::barrier_bytes);
  matvec_notes& notes = reinterpret_cast<matvec_notes*>(rings + notes_at)[warp];
  auto* partial = reinterpret_cast<float*>(rings + notes_at + warps * static_cast<int>(sizeof(matvec_notes)));
  const int tokens = c.x.tokens, partial_size = tokens * token_stride;
  float* powers = partial + c.batch_tiles * c.batch_sections * partial_size;  // of tokens
  float* running = powers + most_kernel_tokens;

  const auto range = [&](int block) { return block * c.least_tiles + min(block, c.longer_blocks); };
  const int last = range(static_cast<int>(blockIdx.x) + 1);
  int batch_tile = range(static_cast<int>(blockIdx.x)), batch_section = 0;

  int tiles_here, sections_here;
  matvec_runs runs{0, notes.runs};
  const auto find_runs = [&] {
    tiles_here = min(c.batch_tiles, last - batch_tile);
    sections_here = min(c.batch_sections, c.sections - batch_section);
    if (N == 1 && c.share > 0) {
      runs.take_shares(c, tiles_here, warp, lane);
    } else {
      runs.take_turns(c, tiles_here, batch_section, sections_here, warp, warps, lane);
    }
    __syncwarp();
  };

  // The next piece of the batch.
  matvec_ring<F> ring(rings, warp * matvec_ring<F>::bytes, notes_at + warp * static_cast<int>(sizeof(matvec_notes)),
                      lane);
  const unsigned char* source = nullptr;
  int ahead = 0, left = 0;  // runs that were begun; pieces that the last of them still has
  const auto request = [&] {
    if (left == 0) {
      if (ahead == runs.count) return;
      const matvec_notes::run run = runs[ahead];
      left = run.pieces();
      source = c.tiles + (std::int64_t{batch_tile} * c.col_tiles + run.first) * tile<F>::bytes;
      ++ahead;
    }
    ring.request(source);
    source += tile<F>::bytes;
    --left;
  };
  const auto fill = [&] {
    ahead = 0;
#pragma unroll 1
    for (int i = 0; i < ring.stages; ++i) {
      request();
      ring.next();
    }
    ring.turn_back();
  };
  // The factors of a run's rows come while the one before it is multiplied.
  const auto fetch_factors = [&](int run) {
    if (run < runs.count && lane < tile_rows) {
      copy_async<4>(notes.factors[run % 2] + lane, c.factors + (batch_tile + runs[run].row()) * tile_rows + lane, true);
    }
    commit_copies();
  };
  float factor;  // of row lane % 16
  const auto take_factors = [&](int run) {
    wait_copies<0>();
    __syncwarp();
    factor = notes.factors[run % 2][lane % tile_rows];
    fetch_factors(run + 1);
  };
  const auto begin_batch = [&] {
    find_runs();
    fill();
    fetch_factors(0);
    take_factors(0);
  };
  begin_batch();

  const int token = lane / 4, quad = lane % 4;
  const unsigned char* x_of[N];  // the lane's activations; lanes without a token take another's, or none
#pragma unroll
  for (int j = 0; j < N; ++j) {
    prepared own = c.x;  // whose order the compiler knows
    own.in = prepared::order::groups;
    x_of[j] = own.values + own.position(min(8 * j + token, tokens - 1), 4 * quad);
  }
  wait_for_predecessors();
  if constexpr (kept_loads) {
#pragma unroll
    for (int j = 0; j < N; ++j) asm volatile("" : "+l"(x_of[j]));  // no load comes before
  }
  if (threadIdx.x < tokens) copy_async<4>(powers + threadIdx.x, c.x.factors + threadIdx.x, true);
  commit_copies();

  for (;;) {
    for (int at = 0; at < runs.count; ++at) {
      const matvec_notes::run run = runs[at];
      const int column = run.first - run.row() * c.col_tiles, section = column / section_tiles - batch_section;
      const uint4* x[N];
#pragma unroll
      for (int j = 0; j < N; ++j) {
        x[j] = reinterpret_cast<const uint4*>(x_of[j]) + column * tile_words;
      }
      uint4 b[lookahead][N];
      const auto load_x = [&](int j, int slot, const uint4* from) {
        if constexpr (kept_loads) {
          load_if(8 * j + token < tokens, from, b[slot][j]);
        } else {
          b[slot][j] = *from;
        }
      };
#pragma unroll
      for (int i = 0; i < lookahead; ++i) {
#pragma unroll
        for (int j = 0; j < N; ++j) {
          b[i][j] = {};
          load_x(j, i, x[j] + pair_words * i);
        }
      }
      float sum[N][4] = {};
      const auto factor_of = [&](int row) { return __shfl_sync(~0u, factor, row); };
      float* to = partial + (run.row() * c.batch_sections + section) * partial_size + token;
      const auto for_each_sum = [&](auto visit) {  // visit(sum, its place, which half of the rows), of tokens alone
#pragma unroll
        for (int i = 0; i < 4 * N; ++i) {
          const int n = i / 4 * 8 + 2 * quad + i % 2, half = i % 4 / 2;
          if (n < tokens) visit(sum[i / 4][i % 4], to[n * token_stride + half * 8], half);
        }
      };
      if (N == 1 && run.does() == run.closes) {
        pair_sync(warp);
        for_each_sum([](float& mine, const float& left, int) { mine = left; });
      }
      for (int pieces = run.pieces(); pieces > 0; --pieces) {
        const unsigned char* weights = ring.wait();
        fragments<F>::stage(weights, lane, factor, staged);
        __syncwarp();
        fragments<F> operand;
        operand.open(weights, staged, lane, float_format<F> ? factor_of(token) : 1,
                     float_format<F> ? factor_of(token + 8) : 1);
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
            for (int j = 0; j < N; ++j) {
              load_x(j, slot, x[j] + pair_words * (Step / 2 + lookahead));
            }
          }
        });
#pragma unroll
        for (int j = 0; j < N; ++j) x[j] += tile_words;
        __syncwarp();
        request();
        ring.next();
      }
      if (N == 1 && run.does() == run.opens) {
        for_each_sum([](float mine, float& left, int) { left = mine; });
        pair_arrive(warp + 1);
      } else {
        // The factors are powers of two: taken back before the sections meet or after, the bits are the same.
        const float undo[2] = {reciprocal_of_power(factor_of(token)), reciprocal_of_power(factor_of(token + 8))};
        for_each_sum([&](float mine, float& out, int half) { out = mine * 0x1p24f * undo[half]; });
      }
      take_factors(at + 1);
    }
    wait_copies<0>();
    __syncthreads();
    const bool complete = batch_section + sections_here == c.sections;
    const int row = threadIdx.x % tile_rows;
#pragma unroll 1
    for (int i = threadIdx.x / tile_rows; i < tiles_here * tokens; i += blockDim.x / tile_rows) {
      const int t = i / tokens, n = i - t * tokens;
      const float* from = partial + t * c.batch_sections * partial_size + n * token_stride + row;
      float* before = running + i * tile_rows + row;
      float total = batch_section == 0 ? 0.0f : *before;
#pragma unroll 4
      for (int q = 0; q < sections_here; ++q) total += from[q * partial_size];
      const std::int64_t out = (std::int64_t{batch_tile} + t) * tile_rows + row;
      if (!complete) {
        *before = total;
      } else if (out < c.rows) {
        c.y[n * c.rows + out] = total * powers[n];
      }
    }
    batch_section += c.batch_sections;
    if (complete) {
      batch_section = 0;
      batch_tile += c.batch_tiles;
      if (batch_tile >= last) return;
    }
    __syncthreads();
    begin_batch();
  }
}

template <any_format F, int N>
void launch_matvec(const device_matrix::contents& w, const prepared& x, float* y, stream s) {
  const matvec_shape shape{.warp_bytes = matvec_warp_bytes<F>,
                           .row_tiles = static_cast<int>(w.row_tiles),
                           .col_tiles = static_cast<int>(w.col_tiles),
                           .tokens = x.tokens};
  const matvec_plan plan = plan_matvec(shape, w.device);
  const matvec_call call{.tiles = w.tiles.get(),
                         .factors = w.factors.get(),
                         .x = x,
                         .y = y,
                         .rows = w.rows,
                         .least_tiles = plan.least_tiles,
                         .longer_blocks = plan.longer_blocks,
                         .col_tiles = static_cast<int>(w.col_tiles),
                         .batch_tiles = plan.batch_tiles,
                         .batch_sections = plan.batch_sections,
                         .sections = plan.sections,
                         .share = plan.share,
                         .by_cols = fraction(w.col_tiles),
                         .by_sections = fraction(plan.sections)};
  launch(w.device.starts_early, matvec<F, N>, plan.blocks, 32 * plan.warps, plan.shared_bytes, s, "matvec",
         {w.rows, w.cols, x.tokens}, call);
}

template <any_format F>
void matvec_kernels<F>::launch(const device_matrix::contents& w, const prepared& x, float* y, stream s) {
  if constexpr (!activation_format<F>) {  // no matrix has one: transfer::upload
    constexpr int most = most_kernel_tokens;
    for (int first = 0; first < x.tokens; first += most) {
      const prepared part{x.values + x.position(first, 0), x.factors + first, std::min(most, x.tokens - first), x.cols,
                          x.in};
      if (part.tokens <= prepared::group_tokens) {
        launch_matvec<F, 1>(w, part, y + first * w.rows, s);
      } else {
        launch_matvec<F, 2>(w, part, y + first * w.rows, s);
      }
    }
  }
}

}  // namespace bq::cuda
