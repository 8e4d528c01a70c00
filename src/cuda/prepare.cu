// Activations to f16 in the order that products read (prepared.hpp): one thread block a token finds the largest
// magnitude, then multiplies with the power of two that goes with it (token_exponent) and rounds.
#include <string>

#include "arch.cuh"
#include "arguments.hpp"
#include "element.cuh"
#include "fast.hpp"
#include "launch.hpp"
#include "matvec.hpp"
#include "prepared_store.cuh"
#include "row_factor.hpp"
#include "thread_block.cuh"
#include "wide.hpp"

namespace bq::cuda {

namespace {

constexpr int most_threads = 512;
constexpr int piece = lane_cols, kept = 4;  // columns that a thread has at a time, and how often in registers

template <class T>
__global__ void __launch_bounds__(most_threads) prepare_token(const T* x, std::int64_t cols, const prepared to) {
  begin_early();
  const int n = blockIdx.x, end = to.cols, step = piece * static_cast<int>(blockDim.x);
  const int begin = piece * static_cast<int>(threadIdx.x);
  float v[kept][piece], rest[piece], top = 0;
#pragma unroll
  for (int i = 0; i < kept; ++i) load_columns(x, cols, n, begin + i * step, v[i]);
#pragma unroll
  for (int i = 0; i < kept * piece; ++i) row_range::raise(top, v[i / piece][i % piece]);
  for (int first = begin + kept * step; first < end; first += step) {
    load_columns(x, cols, n, first, rest);
#pragma unroll
    for (const float e : rest) row_range::raise(top, e);
  }
  const int e = token_exponent(across_block(top, 0.0f, larger()));
  const float factor = power_of_two(e);
#pragma unroll
  for (int i = 0; i < kept; ++i) {
    if (begin + i * step < end) store_slice(to, n, begin + i * step, v[i], factor);
  }
  for (int first = begin + kept * step; first < end; first += step) {
    load_columns(x, cols, n, first, rest);
    store_slice(to, n, first, rest, factor);
  }
  if (threadIdx.x == 0) store_exponent(to, n, e);
}

// Kernels load a tile's worth past the end of the last tokens.
constexpr std::int64_t overrun = prepared::group_tokens * tile_cols * sizeof(__half);

std::int64_t value_bytes(std::int64_t tokens, std::int64_t cols) {
  return ceil_div(tokens, prepared::atom_tokens) * prepared::atom_tokens * prepared::round_up(cols) * 2 + overrun;
}

}  // namespace

prepared view(const activations& x) {
  const auto* bytes = static_cast<const unsigned char*>(x.memory);
  return {bytes, reinterpret_cast<const float*>(bytes + value_bytes(x.tokens, x.cols)), static_cast<int>(x.tokens),
          static_cast<int>(prepared::round_up(x.cols)),
          takes_wide(x.tokens) ? prepared::order::atoms : prepared::order::groups};
}

std::size_t activation_bytes(std::int64_t tokens, std::int64_t cols, tier t) {
  require_tier(t);
  if (tokens < 0 || cols < 1) {
    throw error({.code = errc::bad_shape,
                 .message = "activations of an impossible shape",
                 .expected = "0 tokens or more, 1 column or more",
                 .found = std::to_string(tokens) + " x " + std::to_string(cols)});
  }
  constexpr std::int64_t most = std::int64_t{1} << 30;
  if (tokens > most || cols > most) {
    throw error({.code = errc::out_of_range,
                 .message = "too many activations",
                 .expected = "at most " + std::to_string(most) + " tokens and columns",
                 .found = std::to_string(tokens) + " x " + std::to_string(cols)});
  }
  if (t == tier::fast) return static_cast<std::size_t>(fast_activation_bytes(tokens, cols));
  return static_cast<std::size_t>(value_bytes(tokens, cols) + tokens * 4);
}

void prepare(const void* x, element e, const activations& out, stream s) {
  activation_bytes(out.tokens, out.cols, out.tier);  // checks both
  if (out.tokens == 0) return;
  const std::size_t size = e == element::f32 ? 4 : 2;
  if (!x || !out.memory || reinterpret_cast<std::uintptr_t>(out.memory) % 256 != 0 ||
      reinterpret_cast<std::uintptr_t>(x) % size != 0) {
    throw error({.code = errc::invalid_argument,
                 .message = "x and the prepared activations must be aligned device memory",
                 .expected = "x aligned to its elements, out.memory to 256 bytes, neither null"});
  }
  if (out.tier == tier::fast) return prepare_fast(x, e, out, s);
  const prepared to = view(out);
  const int pieces = to.cols / piece;
  // Few tokens: as many threads as have something to do. Many: as few as keep a token in registers, so that more tokens
  // are there at a time.
  const int threads = to.tokens <= most_kernel_tokens ? pieces : (pieces + 32 * kept - 1) / (32 * kept) * 32;
  const auto start = [&]<class T>(const T* typed) {
    launch(launches_early(), prepare_token<T>, to.tokens, std::min(threads, most_threads), 0, s, "prepare",
           {out.tokens, out.cols}, typed, out.cols, to);
  };
  with_elements(x, e, start);
}

}  // namespace bq::cuda
