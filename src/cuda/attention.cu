// Paged attention: the kernels over attention_block.cuh, and the entry point. With few rows, slices are divided among
// thread blocks, or among warps where there are many (attention_warp.cuh), which leave their parts in scratch, to be
// joined by a second kernel; with many, a block goes through all slices itself, on Hopper that of attention_hopper.cu.
#include <algorithm>

#include "arguments.hpp"
#include "attention_block.cuh"
#include "device_matrix.hpp"
#include "launch.hpp"
#include "tile.hpp"

namespace bq::cuda {

namespace {

constexpr int join_threads = 128;
constexpr std::int64_t most_window = 1 << 30;  // as many positions as there may be
constexpr int split_rows = tile_queries;       // up to so many rows of a sequence, its slices go to blocks of their own

template <int Dims, int Tiles, bool Split>
__global__ void __launch_bounds__(block_tile<Dims>::threads, 2) attend_rows(const __grid_constant__ attention_task t) {
  extern __shared__ __align__(16) unsigned char shared[];
  using block = attention_block<Dims, Tiles>;
  begin_early();
  const int dim_blocks = (t.head_dim + Dims - 1) / Dims;
  const int head = static_cast<int>(blockIdx.y) / dim_blocks,
            out_dim = static_cast<int>(blockIdx.y) % dim_blocks * Dims;
  const int row_blocks = static_cast<int>(gridDim.z);
  const int sequence = Split ? static_cast<int>(blockIdx.z) : static_cast<int>(blockIdx.x);
  const int row_block = Split ? 0 : row_blocks - 1 - static_cast<int>(blockIdx.z);  // the last see most: they begin
  block b(t, *reinterpret_cast<typename block::layout*>(shared), sequence, row_block, head, out_dim);
  if (b.count <= 0) return;
  int first = b.first_slice(), last = b.last_slice();
  if constexpr (Split) {
    first = max(first, static_cast<int>(blockIdx.x) * t.block_slices);
    last = min(last, (static_cast<int>(blockIdx.x) + 1) * t.block_slices - 1);
    if (first > last) return;
    b.attend(first, last, [&](int slice, const auto& m, const auto& l, const auto& o) {
      b.for_outputs(o, [&](int i, int h, int row, int dim, float value) {
        float* to = t.partial + (b.s.query[row] * t.slices + slice) * (t.head_dim + 2);
        to[dim] = value;
        if (dim == 0) to[t.head_dim] = m[i][h], to[t.head_dim + 1] = l[i][h];
      });
    });
  } else {
    float all_m[Tiles][2], all_l[Tiles][2] = {}, all[Tiles][block::value_tiles][4] = {};
#pragma unroll
    for (int i = 0; i < 2 * Tiles; ++i) all_m[i / 2][i % 2] = -HUGE_VALF;
    b.attend(first, last, [&](int, const auto& m, const auto& l, const auto& o) {
#pragma unroll
      for (int i = 0; i < Tiles; ++i) {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
          const join_factors j(all_m[i][h], m[i][h]);
          all_m[i][h] = j.m;
          all_l[i][h] = j.join(all_l[i][h], l[i][h]);
#pragma unroll
          for (int n = 0; n < block::value_tiles; ++n) {
#pragma unroll
            for (int e = 2 * h; e < 2 * h + 2; ++e) all[i][n][e] = j.join(all[i][n][e], o[i][n][e]);
          }
        }
      }
    });
    b.for_outputs(all, [&](int i, int h, int row, int dim, float value) {
      t.out[b.s.query[row] * t.head_dim + dim] = value * output_factor(all_l[i][h]);
    });
  }
}

// Joins the slices of one query, a dim to a thread.
__global__ void __launch_bounds__(join_threads) join_slices(const __grid_constant__ attention_task t) {
  begin_early();
  const int sequence = static_cast<int>(blockIdx.y), row = static_cast<int>(blockIdx.x);
  const int token = row / t.heads, head = row % t.heads;
  const std::int64_t first_token = t.first[sequence];
  const int tokens = static_cast<int>(t.first[sequence + 1] - first_token), at = t.positions[sequence] + token;
  if (token >= tokens) return;
  const int first = max(0, at + 1 - t.window) / slice_keys, last = at / slice_keys;
  const std::int64_t query = (first_token + token) * t.heads + head;
  const float* parts = t.partial + query * t.slices * (t.head_dim + 2);
  for (int d = threadIdx.x; d < t.head_dim; d += join_threads) {
    float m = -HUGE_VALF, l = 0, o = 0;
    constexpr int ahead = 16;  // slices loaded at once
    for (int slice = first; slice <= last; slice += ahead) {
      float next_m[ahead], next_l[ahead], next_o[ahead];
#pragma unroll
      for (int i = 0; i < ahead; ++i) {
        const float* part = parts + static_cast<std::int64_t>(min(slice + i, last)) * (t.head_dim + 2);
        next_m[i] = part[t.head_dim];
        next_l[i] = part[t.head_dim + 1];
        next_o[i] = part[d];
      }
#pragma unroll
      for (int i = 0; i < ahead; ++i) {
        if (slice + i > last) break;
        const join_factors j(m, next_m[i]);
        m = j.m;
        l = j.join(l, next_l[i]);
        o = j.join(o, next_o[i]);
      }
    }
    t.out[query * t.head_dim + d] = o * output_factor(l);
  }
}

bool splits(const attention_batch& b, const attention_options& o) {
  return b.most_tokens * (o.heads / o.kv_heads) <= split_rows;
}

template <int Dims, int Tiles, bool Split>
void start(const attention_task& t, dim3 grid, stream s) {
  const int bytes = attention_block<Dims, Tiles>::shared_bytes(t.keys.coded, t.values.coded);
  launch(launches_early(), attend_rows<Dims, Tiles, Split>, grid, block_tile<Dims>::threads, bytes, s, "attention",
         {grid.x, grid.y, grid.z}, t);
}

// Bytes of shared memory that a block can have.
int most_shared() { return device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin); }

template <int Dims, int Tiles>
void launch_rows(const attention_task& t, const attention_batch& b, unsigned heads, stream s) {
  constexpr std::int64_t rows = attention_block<Dims, Tiles>::rows;
  const auto row_blocks = static_cast<unsigned>((b.most_tokens * t.group + rows - 1) / rows);
  start<Dims, Tiles, false>(t, dim3(static_cast<unsigned>(b.sequences), heads, row_blocks), s);
}

template <int Dims>
void run(attention_task t, const attention_batch& b, int kv_heads, stream s) {
  const auto heads = static_cast<unsigned>(kv_heads * ((t.head_dim + Dims - 1) / Dims));
  if (t.partial) {
    const int bytes = attention_block<Dims, 1>::shared_bytes(t.keys.coded, t.values.coded);
    t.block_slices = slices_for_blocks(b.sequences * heads, t.slices, blocks_at_once(bytes));
    const auto blocks = static_cast<unsigned>(ceil_div(t.slices, t.block_slices));
    start<Dims, 1, true>(t, dim3(blocks, heads, static_cast<unsigned>(b.sequences)), s);
  } else {
    const bool wide = attention_block<Dims, 2>::shared_bytes(t.keys.coded, t.values.coded) <= most_shared();
    (wide ? launch_rows<Dims, 2> : launch_rows<Dims, 1>)(t, b, heads, s);
  }
}

// Few rows, by the cache's own kernels if it has them for these, and so many slices that they are faster than a thread
// block for each at once.
bool run_by_format(const attention_task& t, const attention_batch& b, int kv_heads, stream s) {
  bool done = false;
  if (!t.partial || t.keys.id != t.values.id) return done;
  const auto bytes = t.head_dim > 64 ? attention_block<128, 1>::shared_bytes : attention_block<64, 1>::shared_bytes;
  if (b.sequences * kv_heads * t.slices <= blocks_at_once(bytes(t.keys.coded, t.values.coded))) return done;
  for_each_format([&]<class F>(F) {
    if (F::id == t.keys.id) done = attention_kernels<F>::launch(t, b.sequences, kv_heads, s);
  });
  return done;
}

attention_task::cache make_cache(type id, const void* rows, const attention_options& o) {
  bool held = false, coded = false;
  for_each_format([&]<class F>(F) {
    if (F::id == id) held = is_cache_format<F>, coded = coded_format<F>;
  });
  if (held) {
    return {static_cast<const unsigned char*>(rows), id, coded,
            static_cast<std::int64_t>(row_bytes(id, o.kv_heads * o.head_dim)),
            static_cast<std::int64_t>(row_bytes(id, o.head_dim))};
  }
  throw error({.code = errc::unsupported_type,
               .message = "attention does not read a cache of this type",
               .expected = "floats, or blocks of 32 values",
               .found = std::string(info(id).name)});
}

std::int64_t slices_of(std::int64_t positions) { return ceil_div(positions, slice_keys); }

void check_batch(const paged_cache& c, const attention_batch& b, const attention_options& o) {
  check_cache(c);
  require_shape(o.heads > 0 && o.kv_heads > 0 && o.heads % o.kv_heads == 0 && c.kv_heads == o.kv_heads &&
                    c.head_dim == o.head_dim && o.head_dim % 8 == 0,
                "heads of attention", "the cache's, with query heads in multiples of them, of 8 n values",
                std::to_string(o.heads) + " and " + std::to_string(o.kv_heads) + " of " + std::to_string(o.head_dim));
  require_shape(o.window >= 0, "window of attention", "0 or more", std::to_string(o.window));
  constexpr std::int64_t most = 1 << 30;
  const std::int64_t row_blocks = b.most_tokens * (o.heads / o.kv_heads) / tile_queries;
  require_shape(b.sequences >= 0 && b.tokens >= 0 && b.most_tokens >= 0 && b.most_positions >= 0 && b.most_pages >= 0 &&
                    b.most_positions <= most && b.tokens <= most && row_blocks < 65535 && b.sequences < 65536 &&
                    c.slots <= most * 2 - 1 && c.page <= most,
                "sizes of an attention batch", "0 or more, and what a grid can take",
                std::to_string(b.sequences) + " sequences, " + std::to_string(b.tokens) + " tokens, " +
                    std::to_string(b.most_positions) + " positions");
}

}  // namespace

std::int64_t attention_scratch(const attention_batch& b, const attention_options& o) {
  if (o.heads < 1 || o.kv_heads < 1 || !splits(b, o)) return 0;
  return b.tokens * o.heads * slices_of(b.most_positions) * (o.head_dim + 2) * static_cast<std::int64_t>(sizeof(float));
}

void attention(const float* q, const paged_cache& cache, const attention_batch& batch, float* out, void* scratch,
               const attention_options& o, stream s) {
  check_batch(cache, batch, o);
  const auto keys = make_cache(cache.keys_type, cache.keys, o), values = make_cache(cache.values_type, cache.values, o);
  if (batch.tokens == 0 || batch.sequences == 0) return;
  require_pointer("q of attention", q, 16);
  require_pointer("out of attention", out, 16);
  for (const void* p : {batch.first, batch.positions, batch.page_table}) {
    require_pointer("sequences of attention", p, alignof(std::int32_t));
  }
  const bool split_slices = splits(batch, o);
  if (split_slices) require_pointer("scratch of attention", scratch, 16);
  const std::int64_t slices = slices_of(batch.most_positions);
  const attention_task t{.keys = keys,
                         .values = values,
                         .first = batch.first,
                         .positions = batch.positions,
                         .page_table = batch.page_table,
                         .most_pages = batch.most_pages,
                         .page = static_cast<int>(cache.page),
                         .slots = cache.slots,
                         .q = q,
                         .out = out,
                         .heads = static_cast<int>(o.heads),
                         .group = static_cast<int>(o.heads / o.kv_heads),
                         .head_dim = static_cast<int>(o.head_dim),
                         .window = static_cast<int>(o.window ? std::min(o.window, most_window) : most_window),
                         .scale = o.scale * 1.44269504088896340736f,
                         .partial = split_slices ? static_cast<float*>(scratch) : nullptr,
                         .slices = static_cast<int>(slices),
                         .block_slices = 1};
  const auto n = static_cast<int>(o.kv_heads);
  if (!t.partial && t.head_dim <= most_hopper_dims && current_device_has_wgmma()) {
    launch_attention_hopper(t, batch, n, s);
  } else if (!run_by_format(t, batch, n, s)) {
    const bool wide =
        o.head_dim > 64 && attention_block<128, 1>::shared_bytes(keys.coded, values.coded) <= most_shared();
    (wide ? run<128> : run<64>)(t, batch, n, s);
  }
  if (!t.partial) return;
  const dim3 queries(static_cast<unsigned>(batch.most_tokens * o.heads), static_cast<unsigned>(batch.sequences));
  launch(launches_early(), join_slices, queries, join_threads, 0, s, "attention that joins slices",
         {queries.x, queries.y}, t);
}

}  // namespace bq::cuda
