// Rotary positions and the soft cap on the GPU: the operations of src/cpu/elementwise.hpp, in the same order, so that
// the bits are the CPU's.
#include <algorithm>

#include "arch.cuh"
#include "arguments.hpp"
#include "launch.hpp"
#include "src/activation_functions.hpp"
#include "thread_block.cuh"

namespace bq::cuda {

namespace {

constexpr int threads = 256;

__global__ void __launch_bounds__(threads) cap(float* x, std::int64_t n, float limit) {
  begin_early();
  const std::int64_t step = std::int64_t{gridDim.x} * threads;
  for (std::int64_t i = std::int64_t{blockIdx.x} * threads + threadIdx.x; i < n; i += step) {
    x[i] = soft_cap_element<thread_float>(x[i], limit);
  }
}

// Pairs of one position: pair i is values a and b of a head. x = fma(partner, sine, x * cosine).
__global__ void __launch_bounds__(threads) rotate(float* x, int heads, int head_dim, std::int64_t stride, int dims,
                                                  bool adjacent, const float* cosine, const float* sine) {
  begin_early();
  const std::int64_t position = blockIdx.x;
  x += position * stride;
  cosine += position * dims;
  sine += position * dims;
  const int pairs = dims / 2, first = static_cast<int>(blockIdx.y) * threads + static_cast<int>(threadIdx.x);
  for (int i = first; i < heads * pairs; i += static_cast<int>(gridDim.y) * threads) {
    const int pair = i % pairs, a = adjacent ? 2 * pair : pair, b = adjacent ? a + 1 : a + pairs;
    float* head = x + static_cast<std::int64_t>(i / pairs) * head_dim;
    const float va = head[a], vb = head[b];
    head[a] = fmaf(vb, sine[a], va * cosine[a]);
    head[b] = fmaf(va, sine[b], vb * cosine[b]);
  }
}

}  // namespace

void soft_cap(float* x, std::int64_t n, float limit, stream s) {
  require_shape(n >= 0, "number of values", "0 or more", std::to_string(n));
  if (n == 0) return;
  require_pointer("x of soft_cap", x, alignof(float));
  const auto grid = static_cast<unsigned>(std::min<std::int64_t>((n + threads - 1) / threads, 1 << 16));
  launch(launches_early(), cap, grid, threads, 0, s, "soft_cap", {n}, x, n, limit);
}

void apply_rope(float* x, std::int64_t positions, std::int64_t heads, std::int64_t head_dim, const rope_table& table,
                std::int64_t stride, stream s) {
  require_shape(heads >= 1 && table.dims >= 2 && table.dims % 2 == 0 && head_dim >= table.dims && head_dim <= 1 << 16 &&
                    heads <= 1 << 14,
                "heads to rotate", "1 head or more, of " + std::to_string(table.dims) + " values or more",
                std::to_string(heads) + " of " + std::to_string(head_dim));
  if (stride == 0) stride = heads * head_dim;
  require_shape(stride >= heads * head_dim, "stride of rotated rows", std::to_string(heads * head_dim) + " or more",
                std::to_string(stride));
  require_shape(positions >= 0 && positions < std::int64_t{1} << 31, "number of positions", "0 to 2^31 - 1",
                std::to_string(positions));
  if (positions == 0) return;
  require_pointer("x of apply_rope", x, alignof(float));
  require_pointer("cosines of apply_rope", table.cosine, alignof(float));
  require_pointer("sines of apply_rope", table.sine, alignof(float));
  const std::int64_t pairs = heads * table.dims / 2;
  const dim3 grid(static_cast<unsigned>(positions),
                  static_cast<unsigned>(std::min<std::int64_t>((pairs + threads - 1) / threads, 1 << 15)));
  launch(launches_early(), rotate, grid, threads, 0, s, "apply_rope", {positions, heads, head_dim}, x,
         static_cast<int>(heads), static_cast<int>(head_dim), stride, static_cast<int>(table.dims),
         table.pairing == rope_pairing::adjacent, table.cosine, table.sine);
}

}  // namespace bq::cuda
