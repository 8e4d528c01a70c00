// Activations to f16 in the order that products read (prepared.hpp): one thread block a token finds the largest
// magnitude, then multiplies with the power of two that brings it into [2^14, 2^15) and rounds.
#include <string>

#include "arch.cuh"
#include "arguments.hpp"
#include "element.cuh"
#include "fast.hpp"
#include "launch.hpp"
#include "prepared.hpp"
#include "row_factor.hpp"
#include "wide.hpp"

namespace bq::cuda {

namespace {

constexpr int threads = 512;

// All threads get the largest of all.
__device__ inline float block_max(float x) {
  __shared__ float tops[threads / 32];
  for (int step = 16; step > 0; step /= 2) x = fmaxf(x, __shfl_xor_sync(~0u, x, step));
  if (threadIdx.x % 32 == 0) tops[threadIdx.x / 32] = x;
  __syncthreads();
  for (const float top : tops) x = fmaxf(x, top);
  return x;
}

template <class T>
__global__ void __launch_bounds__(threads)
    prepare_token(const T* x, std::int64_t cols, const prepared to, unsigned char* values, float* factors) {
  launch_dependents();
  wait_for_predecessors();
  const int n = blockIdx.x;
  x += n * cols;
  row_range range;
  for (std::int64_t i = threadIdx.x; i < cols; i += threads) row_range::raise(range.scale, to_f32(x[i]));
  const float top = block_max(range.scale);
  int e = top > 0 ? normalising_exponent(top) + 14 : 0;
  e = e > 126 ? 126 : e;
  const float factor = power_of_two(e);

  const bool in_atoms = to.in == prepared::order::atoms;
  for (int i = threadIdx.x; i < (to.stride - prepared::pair_cols) / 8; i += threads) {
    // The columns of 16 bytes: word k has first + k * 4, or first, first + 2, first + 16, first + 18.
    const int first = in_atoms ? i / 2 * step_cols + i % 2 * 2 : i / 4 * prepared::pair_cols + i % 4 * 4;
    std::uint32_t words[4];
    for (int k = 0; k < 4; ++k) {
      const int col = first + (in_atoms ? 4 * k : k / 2 * step_cols + k % 2 * 2);
      const float low = col < cols ? to_f32(x[col]) : 0.0f, high = col + 1 < cols ? to_f32(x[col + 1]) : 0.0f;
      const __half2 both = __floats2half2_rn(low * factor, high * factor);
      words[k] = *reinterpret_cast<const std::uint32_t*>(&both);
    }
    *reinterpret_cast<uint4*>(values + to.position(n, first)) = make_uint4(words[0], words[1], words[2], words[3]);
  }
  if (threadIdx.x == 0) factors[n] = power_of_two(-e);
}

// Kernels load a tile's worth past the end of the last tokens.
constexpr std::int64_t overrun = prepared::group_tokens * tile_cols * sizeof(__half);

std::int64_t value_bytes(std::int64_t tokens, std::int64_t cols) {
  return ceil_div(tokens, prepared::atom_tokens) * prepared::atom_tokens * prepared::stride_of(cols) * 2 + overrun;
}

}  // namespace

prepared view(const activations& x) {
  const auto* bytes = static_cast<const unsigned char*>(x.memory);
  const std::int64_t stride = prepared::stride_of(x.cols);
  using order = prepared::order;
  const order in = takes_wide(x.tokens)                    ? order::atoms
                   : x.tokens <= prepared::most_row_tokens ? order::rows
                                                           : order::groups;
  return {bytes, reinterpret_cast<const float*>(bytes + value_bytes(x.tokens, x.cols)), static_cast<int>(x.tokens),
          static_cast<int>(stride), in};
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
  const auto start = [&]<class T>(const T* typed) {
    launch(launches_early(), prepare_token<T>, to.tokens, threads, 0, s, "prepare", {out.tokens, out.cols}, typed,
           out.cols, to, const_cast<unsigned char*>(to.values), const_cast<float*>(to.factors));
  };
  with_elements(x, e, start);
}

}  // namespace bq::cuda
