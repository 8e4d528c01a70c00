// Paged attention (attention_block.cuh): the kernels and the entry point. With few rows a thread block takes one slice
// and leaves its part in scratch, to be joined by a second kernel; with many it goes through all slices itself.
#include <algorithm>

#include "arguments.hpp"
#include "attention_block.cuh"
#include "check.hpp"

namespace bq::cuda {

namespace {

constexpr int split_rows = tile_queries;  // up to so many rows of a sequence, its slices go to blocks of their own

template <int Dims, int Tiles, bool Split>
__global__ void __launch_bounds__(attention_threads) attend_rows(const __grid_constant__ attention_task t) {
  extern __shared__ __align__(16) unsigned char shared[];
  using block = attention_block<Dims, Tiles>;
  const int dim_blocks = (t.head_dim + Dims - 1) / Dims;
  const int head = static_cast<int>(blockIdx.y) / dim_blocks,
            out_dim = static_cast<int>(blockIdx.y) % dim_blocks * Dims;
  const int row_blocks = static_cast<int>(gridDim.z);
  const int sequence = Split ? static_cast<int>(blockIdx.z) : static_cast<int>(blockIdx.x);
  const int row_block = Split ? 0 : row_blocks - 1 - static_cast<int>(blockIdx.z);  // the last see most: they begin
  block b(t, *reinterpret_cast<typename block::layout*>(shared), sequence, row_block, head, out_dim);
  if (b.row_count() <= 0) return;
  int first = b.begin_of(b.position_of(0)) / slice_keys, last = b.last_position() / slice_keys;
  if constexpr (Split) {
    if (static_cast<int>(blockIdx.x) < first || static_cast<int>(blockIdx.x) > last) return;
    first = last = static_cast<int>(blockIdx.x);
  }
  b.load_scales();
  if (t.head_dim <= Dims) b.load_queries(0);

  float m[Tiles][2], l[Tiles][2], o[Tiles][block::value_tiles][4] = {};
  if constexpr (Split) {
    b.attend(first, m, l, o);
    b.for_outputs(o, [&](int i, int h, int row, int dim, float value) {
      const std::int64_t part = b.query_at(row) / t.head_dim * t.slices + first;
      float* to = t.partial + part * (t.head_dim + 2);
      to[dim] = value;
      if (dim == 0) to[t.head_dim] = m[i][h], to[t.head_dim + 1] = l[i][h];
    });
  } else {
    float all_m[Tiles][2], all_l[Tiles][2] = {}, all[Tiles][block::value_tiles][4] = {};
    for (int i = 0; i < 2 * Tiles; ++i) all_m[i / 2][i % 2] = -HUGE_VALF;
    for (int slice = first; slice <= last; ++slice) {
      for (auto& a : o)
        for (auto& c : a)
          for (float& v : c) v = 0;
      b.attend(slice, m, l, o);
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
    }
    b.for_outputs(all, [&](int i, int h, int row, int dim, float value) {
      t.out[b.query_at(row) + dim] = value * (1 / p_scale) / all_l[i][h];
    });
  }
}

// Joins the slices of one query, a dim to a thread.
__global__ void __launch_bounds__(attention_threads) join_slices(const __grid_constant__ attention_task t) {
  const int sequence = static_cast<int>(blockIdx.y), row = static_cast<int>(blockIdx.x);
  const int token = row / t.heads, head = row % t.heads;
  const std::int64_t first_token = t.first[sequence];
  if (token >= t.first[sequence + 1] - first_token) return;
  const int at = t.positions[sequence] + token;
  const int first = static_cast<int>(max(std::int64_t{0}, at + 1 - t.window)) / slice_keys, last = at / slice_keys;
  const std::int64_t query = (first_token + token) * t.heads + head;
  const float* parts = t.partial + query * t.slices * (t.head_dim + 2);
  for (int d = threadIdx.x; d < t.head_dim; d += attention_threads) {
    float m = -HUGE_VALF, l = 0, o = 0;
    for (int slice = first; slice <= last; ++slice) {
      const float* part = parts + static_cast<std::int64_t>(slice) * (t.head_dim + 2);
      const join_factors j(m, part[t.head_dim]);
      m = j.m;
      l = j.join(l, part[t.head_dim + 1]);
      o = j.join(o, part[d]);
    }
    t.out[query * t.head_dim + d] = o * (1 / p_scale) / l;
  }
}

bool splits(const attention_batch& b, const attention_options& o) {
  return b.most_tokens * (o.heads / o.kv_heads) <= split_rows;
}

template <int Dims, int Tiles, bool Split>
void launch(const attention_task& t, dim3 grid, bool raw, stream s) {
  const int bytes = attention_block<Dims, Tiles>::shared_bytes(raw);
  check(cudaFuncSetAttribute(attend_rows<Dims, Tiles, Split>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes),
        "cudaFuncSetAttribute of attention");
  attend_rows<Dims, Tiles, Split><<<grid, attention_threads, bytes, s>>>(t);
  check(cudaGetLastError(), "attention kernel");
}

// Whether blocks with so much shared memory can run on the current device.
bool fits(int bytes) {
  int device = 0, most = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device), "cudaDeviceGetAttribute");
  return bytes <= most;
}

template <int Dims>
void run(const attention_task& t, const attention_batch& b, int kv_heads, bool raw, stream s) {
  const auto sequences = static_cast<unsigned>(b.sequences);
  const auto heads = static_cast<unsigned>(kv_heads * ((t.head_dim + Dims - 1) / Dims));
  if (t.partial) {
    launch<Dims, 1, true>(t, dim3(static_cast<unsigned>(t.slices), heads, sequences), raw, s);
    const auto queries = static_cast<unsigned>(b.most_tokens * t.heads);
    join_slices<<<dim3(queries, sequences), attention_threads, 0, s>>>(t);
    check(cudaGetLastError(), "attention kernel that joins slices");
  } else {
    const std::int64_t rows = attention_block<Dims, 2>::rows;
    const auto row_blocks = static_cast<unsigned>((b.most_tokens * t.group + rows - 1) / rows);
    launch<Dims, 2, false>(t, dim3(sequences, heads, row_blocks), raw, s);
  }
}

struct cache_kind {
  bool held = false, coded = false;
};
cache_kind kind_of(type id) {
  cache_kind kind;
  for_each_format([&]<class F>(F) {
    if (F::id == id) kind = {is_cache_format<F>, coded_format<F>};
  });
  if (kind.held) return kind;
  throw error({.code = errc::unsupported_type,
               .message = "attention does not read a cache of this type",
               .expected = "floats, or blocks of 32 values",
               .found = std::string(info(id).name)});
}

std::int64_t slices_of(std::int64_t positions) { return (positions + slice_keys - 1) / slice_keys; }

void check_batch(const paged_cache& c, const attention_batch& b, const attention_options& o) {
  check_cache(c);
  require_shape(o.heads > 0 && o.kv_heads > 0 && o.heads % o.kv_heads == 0 && c.kv_heads == o.kv_heads &&
                    c.head_dim == o.head_dim && o.head_dim % 8 == 0,
                "heads of attention", "the cache's, with query heads in multiples of them, of 8 n values",
                std::to_string(o.heads) + " and " + std::to_string(o.kv_heads) + " of " + std::to_string(o.head_dim));
  require_shape(o.window >= 0, "window of attention", "0 or more", std::to_string(o.window));
  constexpr std::int64_t most = 1 << 30;
  const std::int64_t row_blocks = b.most_tokens * (o.heads / o.kv_heads) / (2 * tile_queries);
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
  const cache_kind keys = kind_of(cache.keys_type), values = kind_of(cache.values_type);
  if (batch.tokens == 0 || batch.sequences == 0) return;
  require_pointer("q of attention", q, 16);
  require_pointer("out of attention", out, 16);
  for (const void* p : {batch.first, batch.positions, batch.page_table}) {
    require_pointer("sequences of attention", p, alignof(std::int32_t));
  }
  const bool split_slices = splits(batch, o), raw = keys.coded || values.coded;
  if (split_slices) require_pointer("scratch of attention", scratch, 16);
  const auto cache_of = [&](type id, const void* rows) {
    return attention_task::cache{static_cast<const unsigned char*>(rows), id,
                                 static_cast<std::int64_t>(row_bytes(id, o.kv_heads * o.head_dim)),
                                 static_cast<std::int64_t>(row_bytes(id, o.head_dim))};
  };
  const attention_task t{.keys = cache_of(cache.keys_type, cache.keys),
                         .values = cache_of(cache.values_type, cache.values),
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
                         .window = o.window ? o.window : std::int64_t{1} << 40,
                         .scale = o.scale * 1.44269504088896340736f,
                         .partial = split_slices ? static_cast<float*>(scratch) : nullptr,
                         .slices = static_cast<int>(slices_of(batch.most_positions))};
  const auto n = static_cast<int>(o.kv_heads);
  if (o.head_dim > 64 && fits(attention_block<128, 2>::shared_bytes(raw)))
    run<128>(t, batch, n, raw, s);
  else
    run<64>(t, batch, n, raw, s);
}

}  // namespace bq::cuda
