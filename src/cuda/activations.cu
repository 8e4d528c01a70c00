// Rows of activations [tokens, cols], computed once and written in every form asked for: f32, f16 or bytes as products
// take them, int8 under a scale per 32 columns or per token. What is computed is a source: x itself, its RMS norm, a
// gated activation.
//
// A thread block takes a row, and keeps it in registers between its reductions; where nothing is reduced over the row,
// rows are cut into pieces, so that few tokens fill the GPU too.
#include <algorithm>

#include "arch.cuh"
#include "arguments.hpp"
#include "check.hpp"
#include "code_scale.cuh"
#include "element.cuh"
#include "fast.hpp"
#include "launch.hpp"
#include "matvec.hpp"
#include "prepared.hpp"
#include "row_factor.hpp"
#include "src/activation_functions.hpp"
#include "thread_block.cuh"

namespace bq::cuda {

namespace {

constexpr int piece_cols = 1024, most_threads = 1024, most_kept = 8;
constexpr std::int64_t most_cols = 4 * most_threads * most_kept;

__device__ float4 map(float4 a, float4 b, auto f) { return {f(a.x, b.x), f(a.y, b.y), f(a.z, b.z), f(a.w, b.w)}; }
__device__ float4 map(float4 a, auto f) { return {f(a.x), f(a.y), f(a.z), f(a.w)}; }
__device__ inline const float4& vector_at(const float* p, std::int64_t i) {
  return *reinterpret_cast<const float4*>(p + i);
}
__device__ inline float4& vector_at(float* p, std::int64_t i) { return *reinterpret_cast<float4*>(p + i); }

// Columns of this thread: element(i, column) for those in [first, last).
template <int Kept>
__device__ void for_columns(int first, int last, auto element) {
#pragma unroll
  for (int i = 0; i < Kept; ++i) {
    const int col = first + 4 * (i * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x));
    if (col < last) element(i, col);
  }
}

struct plain_source {
  static constexpr bool reduces = false;
  const float* x;
  __device__ float4 load(std::int64_t row, int col, int cols) const { return vector_at(x, row * cols + col); }
  template <int Kept>
  __device__ void prefetch_constants(int) const {}
  template <int Kept>
  __device__ void finish(float4*, int) const {}
};

template <template <class> class F>
struct gated_source {
  static constexpr bool reduces = false;
  const float *gate, *up;
  std::int64_t stride;
  __device__ float4 load(std::int64_t row, int col, int) const {
    const std::int64_t at = row * stride + col;
    return map(vector_at(gate, at), vector_at(up, at), [](float g, float u) { return F<thread_float>::apply(g) * u; });
  }
  template <int Kept>
  __device__ void prefetch_constants(int) const {}
  template <int Kept>
  __device__ void finish(float4*, int) const {}
};

struct norm_source {
  static constexpr bool reduces = true;
  float* x;
  const float *residual, *weight;
  float epsilon;

  __device__ float4 load(std::int64_t row, int col, int cols) const {
    const std::int64_t at = row * cols + col;
    if (!residual) return vector_at(x, at);
    return vector_at(x, at) = map(vector_at(x, at), vector_at(residual, at), sum());
  }
  template <int Kept>
  __device__ void prefetch_constants(int cols) const {
    for_columns<Kept>(0, cols, [&](int, int col) { prefetch(weight + col); });
  }
  template <int Kept>
  __device__ void finish(float4* v, int cols) const {
    float4 weights[Kept];
    for_columns<Kept>(0, cols, [&](int i, int col) { weights[i] = vector_at(weight, col); });
    float squares = 0;
    for_columns<Kept>(0, cols, [&](int i, int) { map(v[i], [&](float e) { return squares = fmaf(e, e, squares); }); });
    const float mean = across_block(squares, 0.0f, sum()) / static_cast<float>(cols);
    const float scale = 1.0f / sqrtf(mean + epsilon);
    for_columns<Kept>(
        0, cols, [&](int i, int) { v[i] = map(v[i], weights[i], [&](float e, float w) { return e * scale * w; }); });
  }
};

// Largest magnitude of four, as bits: NaN is larger than everything.
__device__ inline std::uint32_t top_of(float4 v) {
  std::uint32_t top = 0;
  map(v, [&](float e) {
    top = max(top, f32_to_bits(e) & 0x7fffffffu);
    return e;
  });
  return top;
}

// The largest finite magnitude of four, as bits.
__device__ inline std::uint32_t finite_top_of(float4 v) {
  return top_of(map(v, [](float e) { return is_finite(e) ? e : 0.0f; }));
}

__device__ inline void store_codes(const activation_outputs& out, std::int64_t at, float4 v, const code_scale& s) {
  *reinterpret_cast<char4*>(out.codes + at) = {s.code(v.x), s.code(v.y), s.code(v.z), s.code(v.w)};
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

  // Four columns of a token, as prepared.hpp lays them out.
  __device__ void store_prepared(int token, int col, float4 v, float factor) const {
    auto* values = const_cast<unsigned char*>(products.values);
    const std::uint32_t low = f16_pair(v.x * factor, v.y * factor), high = f16_pair(v.z * factor, v.w * factor);
    unsigned char* at = values + products.position(token, col);
    if (products.in == prepared::order::groups) {  // beside each other
      *reinterpret_cast<uint2*>(at) = make_uint2(low, high);
    } else {
      *reinterpret_cast<std::uint32_t*>(at) = low;
      *reinterpret_cast<std::uint32_t*>(values + products.position(token, col + 2)) = high;
    }
  }
};

// A whole row, by a multiple of 64 threads: two warps share the scale of 256 columns.
template <int Kept>
__device__ void store_bytes(const byte_matrix& to, int row, const float4 (&v)[Kept]) {
  __shared__ std::uint32_t tops[Kept][most_threads / 32];
  const int warp = static_cast<int>(threadIdx.x) / 32;
#pragma unroll
  for (int i = 0; i < Kept; ++i) {
    const std::uint32_t top = across_lanes<32>(top_of(v[i]), larger());
    if (threadIdx.x % 32 == 0) tops[i][warp] = top;
  }
  __syncthreads();
  for_columns<Kept>(0, to.slices * byte_matrix::slice_cols, [&](int i, int col) {
    const code_scale c(max(tops[i][warp], tops[i][warp ^ 1]));
    *reinterpret_cast<char4*>(to.byte(row, col)) = {c.code(v[i].x), c.code(v[i].y), c.code(v[i].z), c.code(v[i].w)};
    if (threadIdx.x % 64 == 0) *to.scale(col / byte_matrix::slice_cols, row) = c.scale;
  });
}

template <class Source, int Kept>
__global__ void __launch_bounds__(most_threads)
    make_rows(const Source source, int cols, int piece, const __grid_constant__ row_outputs to) {
  launch_dependents();
  const activation_outputs& out = to.forms;
  const std::int64_t row = blockIdx.x;
  const int first = static_cast<int>(blockIdx.y) * piece, last = min(first + piece, cols);
  source.template prefetch_constants<Kept>(cols);
  wait_for_predecessors();
  float4 v[Kept] = {};
  for_columns<Kept>(first, last, [&](int i, int col) { v[i] = source.load(row, col, cols); });
  source.template finish<Kept>(v, cols);

  if (to.bytes.atoms) store_bytes<Kept>(to.bytes, blockIdx.x, v);
  const bool codes_by_token = out.codes && out.group == cols;
  std::uint32_t top = 0, finite_top = 0;
  if (codes_by_token) {
    for_columns<Kept>(first, last, [&](int i, int) { top = max(top, top_of(v[i])); });
    top = across_block(top, 0u, larger());
  }
  if (to.products.values) {
    for_columns<Kept>(first, last, [&](int i, int) { finite_top = max(finite_top, finite_top_of(v[i])); });
    finite_top = across_block(finite_top, 0u, larger());
  }
  const code_scale c(top);
  const int exponent = token_exponent(f32_from_bits(finite_top));
  const float factor = power_of_two(exponent);
  if (threadIdx.x == 0 && codes_by_token) out.scales[row] = c.scale;
  if (threadIdx.x == 0 && to.products.values) const_cast<float*>(to.products.factors)[row] = power_of_two(-exponent);
#pragma unroll
  for (int i = 0; i < Kept; ++i) {
    const int col = first + 4 * (i * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x));
    const std::int64_t at = row * cols + col;
    if (out.codes && !codes_by_token) {  // eight lanes hold a group, and all lanes of the warp are here
      const code_scale group(across_lanes<8>(top_of(v[i]), larger()));
      if (col < last) store_codes(out, at, v[i], group);
      if (col < last && threadIdx.x % 8 == 0) out.scales[at / 32] = group.scale;
    }
    if (col >= last) continue;
    if (codes_by_token) store_codes(out, at, v[i], c);
    if (out.values) vector_at(out.values, at) = v[i];
    if (to.products.values) to.store_prepared(blockIdx.x, col, v[i], factor);
  }
  if (to.products.values) {
    for (int col = cols + 4 * static_cast<int>(threadIdx.x); col < to.products.cols;
         col += 4 * static_cast<int>(blockDim.x)) {
      to.store_prepared(blockIdx.x, col, {}, factor);
    }
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

template <class Source, int Kept>
void start(const char* name, const Source& source, std::int64_t tokens, int cols, int piece, const row_outputs& out,
           stream s) {
  const int vectors = (piece + 4 * Kept - 1) / (4 * Kept);  // of one register for each thread
  const dim3 grid(static_cast<unsigned>(tokens), static_cast<unsigned>((cols + piece - 1) / piece));
  // Of more tokens, a layer takes up to 8 % longer (an H200) where they begin before the product is complete.
  const bool early = tokens <= most_prepared_beside && launches_early();
  launch(early, make_rows<Source, Kept>, grid, (vectors + 63) / 64 * 64, 0, s, name, {tokens, cols}, source, cols,
         piece, out);
}

template <class Source>
void write_rows(const char* name, const Source& source, std::int64_t tokens, std::int64_t cols,
                const activation_outputs& out, stream s) {
  if (tokens == 0) return;
  const bool whole = Source::reduces || out.prepared.memory || (out.codes && out.group == cols);
  const int n = static_cast<int>(cols), piece = whole ? n : std::min(n, piece_cols);
  const auto run = piece <= 512                 ? start<Source, 1>
                   : piece <= 16 * most_threads ? start<Source, 4>
                                                : start<Source, most_kept>;
  run(name, source, tokens, n, piece, row_outputs(out), s);
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
