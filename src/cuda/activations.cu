// Rows of activations [tokens, cols], computed once and written in every form asked for: f32, f16 or bytes as products
// take them, int8 under a scale per 32 columns or per token. What is computed is a source: x itself, its RMS norm, a
// gated activation.
//
// A warp takes slices of 256 columns, a lane eight of each, and keeps them in registers between reductions over the
// row. One thread block has a whole row where there is something to reduce; of few tokens, a cluster of blocks has, so
// that more of the GPU takes part; else a row is cut into as many blocks as it fills.
#include <algorithm>

#include "arch.cuh"
#include "arguments.hpp"
#include "byte_encode.cuh"
#include "check.hpp"
#include "code_scale.cuh"
#include "element.cuh"
#include "fast.hpp"
#include "launch.hpp"
#include "matvec.hpp"
#include "prepared_store.cuh"
#include "row_factor.hpp"
#include "src/activation_functions.hpp"
#include "thread_block.cuh"

namespace bq::cuda {

namespace {

constexpr int most_blocks = 8, most_warps = 32, most_kept = 4, most_slices = most_warps * most_kept;
constexpr std::int64_t most_cols = slice_cols * most_slices;

// visit(i) for the first of each four of a lane's columns from col on, as far as there are columns.
template <class Visit>
__device__ void for_fours(int col, int cols, const Visit& visit) {
#pragma unroll
  for (int i = 0; i < lane_cols; i += 4) {
    if (col + i < cols) visit(i);
  }
}
__device__ inline void load_four(const float* from, float* to) {
  const float4 v = *reinterpret_cast<const float4*>(from);
  to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
}
__device__ inline void store_four(const float* from, float* to) {
  *reinterpret_cast<float4*>(to) = make_float4(from[0], from[1], from[2], from[3]);
}

// The thread's part of a row that `blocks` thread blocks share.
struct row_part {
  int blocks, block, cols;

  __device__ int warps() const { return static_cast<int>(blockDim.x) / 32; }
  // The i-th of the `Kept` slices of this warp.
  template <int Kept>
  __device__ int slice(int i) const {
    return (block * Kept + i) * warps() + static_cast<int>(threadIdx.x) / 32;
  }
  // visit(i, col) for each of its slices that has columns: all lanes of the warp, from col on.
  template <int Kept, class Visit>
  __device__ void for_slices(const Visit& visit) const {
#pragma unroll
    for (int i = 0; i < Kept; ++i) {
      const int first = slice<Kept>(i) * slice_cols;
      if (first < cols) visit(i, first + lane_cols * (static_cast<int>(threadIdx.x) % 32));
    }
  }

  // What `combine` makes of all threads' parts, `Parts` each: those of a slice first, then the slices, in an order that
  // is the same for any division of the row. `zero` is neutral; `slots` are used once.
  template <int Parts, class T, class Combine>
  __device__ T reduce(const T (&parts)[Parts], T zero, std::uint32_t (&slots)[most_slices],
                      const Combine& combine) const {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < Parts; ++i) {
      const T whole = across_lanes<32>(parts[i], combine);
      if (lane < blocks) store_shared_of(lane, &slots[slice<Parts>(i)], __builtin_bit_cast(std::uint32_t, whole));
    }
    if (blocks > 1)
      cluster_sync();
    else
      __syncthreads();
    T all = zero;
    for (int i = lane; i < blocks * Parts * warps(); i += 32) all = combine(all, __builtin_bit_cast(T, slots[i]));
    return across_lanes<32>(all, combine);
  }
};

struct plain_source {
  static constexpr bool reduces = false;
  const float* x;
  __device__ void load(std::int64_t row, int col, int cols, float (&v)[lane_cols]) const {
    for_fours(col, cols, [&](int i) { load_four(x + row * cols + col + i, v + i); });
  }
  template <int Kept>
  __device__ void prefetch_constants(const row_part&) const {}
  template <int Kept>
  __device__ void finish(float (&)[Kept][lane_cols], const row_part&) const {}
};

template <template <class> class F>
struct gated_source {
  static constexpr bool reduces = false;
  const float *gate, *up;
  std::int64_t stride;
  __device__ void load(std::int64_t row, int col, int cols, float (&v)[lane_cols]) const {
    const std::int64_t at = row * stride + col;
    float u[lane_cols];
    for_fours(col, cols, [&](int i) { load_four(gate + at + i, v + i), load_four(up + at + i, u + i); });
    for_fours(col, cols, [&](int i) {
#pragma unroll
      for (int j = i; j < i + 4; ++j) v[j] = F<thread_float>::apply(v[j]) * u[j];
    });
  }
  template <int Kept>
  __device__ void prefetch_constants(const row_part&) const {}
  template <int Kept>
  __device__ void finish(float (&)[Kept][lane_cols], const row_part&) const {}
};

struct norm_source {
  static constexpr bool reduces = true;
  float* x;
  const float *residual, *weight;
  float epsilon;

  __device__ void load(std::int64_t row, int col, int cols, float (&v)[lane_cols]) const {
    const std::int64_t at = row * cols + col;
    for_fours(col, cols, [&](int i) { load_four(x + at + i, v + i); });
    if (!residual) return;
    float r[lane_cols];
    for_fours(col, cols, [&](int i) { load_four(residual + at + i, r + i); });
    for_fours(col, cols, [&](int i) {
#pragma unroll
      for (int j = i; j < i + 4; ++j) v[j] += r[j];
      store_four(v + i, x + at + i);
    });
  }
  template <int Kept>
  __device__ void prefetch_constants(const row_part& part) const {
    part.for_slices<Kept>([&](int, int col) {
      if (col < part.cols) prefetch(weight + col);
    });
  }
  template <int Kept>
  __device__ void finish(float (&v)[Kept][lane_cols], const row_part& part) const {
    __shared__ std::uint32_t slots[most_slices];
    float weights[Kept][lane_cols], squares[Kept] = {};
    part.for_slices<Kept>([&](int i, int col) {
      for_fours(col, part.cols, [&](int j) { load_four(weight + col + j, weights[i] + j); });
    });
    part.for_slices<Kept>([&](int i, int) {
#pragma unroll
      for (const float e : v[i]) squares[i] = fmaf(e, e, squares[i]);
    });
    const float mean = part.reduce(squares, 0.0f, slots, sum()) / static_cast<float>(part.cols);
    const float scale = 1.0f / sqrtf(mean + epsilon);
    part.for_slices<Kept>([&](int i, int col) {
      for_fours(col, part.cols, [&](int j) {
#pragma unroll
        for (int k = j; k < j + 4; ++k) v[i][k] = v[i][k] * scale * weights[i][k];
      });
    });
  }
};

// Bits of the largest finite magnitude.
__device__ inline std::uint32_t finite_top_of(const float (&x)[lane_cols]) {
  std::uint32_t top = 0;
#pragma unroll
  for (const float e : x) {
    if (is_finite(e)) top = max(top, f32_to_bits(e) & 0x7fffffffu);
  }
  return top;
}

struct row_outputs {
  activation_outputs forms;
  prepared products;  // values: null unless asked for
  byte_matrix bytes;  // atoms: null unless asked for

  explicit row_outputs(const activation_outputs& out) : forms(out), products(), bytes() {
    if (!out.prepared.memory) return;
    if (out.prepared.tier == tier::fast) {
      bytes = view_bytes(out.prepared);
    } else {
      products = view(out.prepared);
    }
  }
  bool by_token(std::int64_t cols) const { return products.values || (forms.codes && forms.group == cols); }
};

template <class Source, int Kept>
__global__ void __launch_bounds__(32 * most_warps)
    make_rows(const Source source, int cols, int blocks, const __grid_constant__ row_outputs to) {
  __shared__ std::uint32_t tops[most_slices], finite_tops[most_slices];
  launch_dependents();
  const int row = static_cast<int>(blockIdx.x) / blocks;
  const row_part part{blocks, static_cast<int>(blockIdx.x) - row * blocks, cols};
  if (blocks > 1) cluster_sync();  // all have begun before one writes to another's shared memory
  source.template prefetch_constants<Kept>(part);
  wait_for_predecessors();
  float v[Kept][lane_cols] = {};
  part.for_slices<Kept>([&](int i, int col) { source.load(row, col, cols, v[i]); });
  source.finish(v, part);

  const std::int64_t first = std::int64_t{row} * cols;
  const auto largest = [&](auto top_of_lane, std::uint32_t(&slots)[most_slices]) {
    std::uint32_t top[1] = {};
    part.for_slices<Kept>([&](int i, int) { top[0] = max(top[0], top_of_lane(v[i])); });
    return part.reduce(top, 0u, slots, larger());
  };
  if (to.bytes.atoms) part.for_slices<Kept>([&](int i, int col) { store_slice(to.bytes, row, col, v[i]); });
  const activation_outputs& out = to.forms;
  if (out.values) {
    part.for_slices<Kept>([&](int i, int col) {
      for_fours(col, cols, [&](int j) { store_four(v[i] + j, out.values + first + col + j); });
    });
  }
  if (out.codes) {
    const bool by_token = out.group == cols;
    const std::uint32_t of_token = by_token ? largest([](const auto& x) { return top_of(x); }, tops) : 0;
    part.for_slices<Kept>([&](int i, int col) {
      const code_scale c(by_token ? of_token : across_lanes<32 / lane_cols>(top_of(v[i]), larger()));
      if (col >= cols) return;
      *reinterpret_cast<uint2*>(out.codes + first + col) = c.codes(v[i]);
      if (by_token ? col == 0 : col % 32 == 0) out.scales[by_token ? row : (first + col) / 32] = c.scale;
    });
  }
  if (to.products.values) {
    const int e = token_exponent(f32_from_bits(largest([](const auto& x) { return finite_top_of(x); }, finite_tops)));
    part.for_slices<Kept>([&](int i, int col) { store_slice(to.products, row, col, v[i], power_of_two(e)); });
    if (part.block == 0 && threadIdx.x == 0) store_exponent(to.products, row, e);
  }
}

void require_outputs(const activation_outputs& o, std::int64_t tokens, std::int64_t cols) {
  require_shape(tokens >= 0 && tokens < std::int64_t{1} << 31, "number of tokens", "0 to 2^31 - 1",
                std::to_string(tokens));
  require_shape(cols > 0 && cols <= most_cols && cols % 4 == 0, "activations",
                "columns in fours, up to " + std::to_string(most_cols), std::to_string(cols));
  if (o.values) require_pointer("values of activations", o.values, 16);
  if (o.prepared.memory) {
    require_shape(o.prepared.tokens == tokens && o.prepared.cols == cols, "prepared activations",
                  std::to_string(tokens) + " x " + std::to_string(cols),
                  std::to_string(o.prepared.tokens) + " x " + std::to_string(o.prepared.cols));
    require_tier(o.prepared.tier);
    require_pointer("memory of prepared activations", o.prepared.memory, 256);
  }
  if (o.codes) {
    require_shape((o.group == 32 || o.group == cols) && cols % 32 == 0, "group of int8 activations",
                  "32 or all columns, which are a multiple of 32", std::to_string(o.group));
    require_pointer("codes of activations", o.codes, 16);
    require_pointer("scales of activations", o.scales, alignof(float));
  }
}

template <class Source>
void write_rows(const char* name, const Source& source, std::int64_t tokens, std::int64_t cols,
                const activation_outputs& activations, stream s) {
  if (tokens == 0) return;
  const row_outputs out(activations);
  const bool few = tokens <= most_kernel_tokens, clusters = launches_early();  // both from compute capability 9.0 on
  const int slices = static_cast<int>(ceil_div(cols, slice_cols));
  int blocks = 1, cluster = 1, kept = slices <= 16 ? 1 : slices <= 64 ? 2 : 4;
  if (!Source::reduces && !out.by_token(cols)) {
    blocks = (slices + 3) / 4, kept = 1;
  } else if (few && clusters) {
    const int most = tokens == 1 ? 4 : 16;  // slices of a block
    while (blocks < most_blocks && blocks * most < slices) blocks *= 2;
    cluster = blocks, kept = 1;
  }
  const int warps = (slices + blocks * kept - 1) / (blocks * kept);
  // Of more tokens, a layer takes up to 8 % longer (an H200) where they begin before the product is complete.
  const bool early = tokens <= most_prepared_beside && clusters;
  const auto kernel = kept == 1   ? make_rows<Source, 1>
                      : kept == 2 ? make_rows<Source, 2>
                                  : make_rows<Source, most_kept>;
  launch_clusters(cluster, early, kernel, static_cast<unsigned>(tokens * blocks), 32 * warps, 0, s, name,
                  {tokens, cols}, source, static_cast<int>(cols), blocks, out);
}

}  // namespace

void convert_activations(const float* x, std::int64_t tokens, std::int64_t cols, const activation_outputs& out,
                         stream s) {
  require_outputs(out, tokens, cols);
  if (tokens > 0) require_pointer("x of convert_activations", x, 16);
  write_rows("convert_activations", plain_source{x}, tokens, cols, out, s);
}

void rms_norm(float* x, const float* residual, const float* weight, float epsilon, std::int64_t rows, std::int64_t cols,
              const activation_outputs& out, stream s) {
  require_outputs(out, rows, cols);
  if (rows == 0) return;
  require_pointer("x of rms_norm", x, 16);
  if (residual) require_pointer("residual of rms_norm", residual, 16);
  require_pointer("weight of rms_norm", weight, 16);
  write_rows("rms_norm", norm_source{x, residual, weight, epsilon}, rows, cols, out, s);
}

void gated(activation f, const float* gate, const float* up, std::int64_t tokens, std::int64_t cols,
           const activation_outputs& out, std::int64_t stride, stream s) {
  require_outputs(out, tokens, cols);
  if (stride == 0) stride = cols;
  require_shape(stride >= cols && stride % 4 == 0, "stride of gated", "a multiple of 4 from " + std::to_string(cols),
                std::to_string(stride));
  if (tokens == 0) return;
  require_pointer("gate of gated", gate, 16);
  require_pointer("up of gated", up, 16);
  if (f == activation::silu)
    write_rows("silu", gated_source<silu>{gate, up, stride}, tokens, cols, out, s);
  else
    write_rows("gelu", gated_source<gelu>{gate, up, stride}, tokens, cols, out, s);
}

}  // namespace bq::cuda
