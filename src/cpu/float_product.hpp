// Products with F32, F16 and BF16 weights: a strip of rows is decoded to f32, columns at a time, and turned so that
// lanes are rows; then y = fma(weight, x, y), column after column, one accumulator for each output.
#pragma once
#include "formats/decode.hpp"
#include "panel.hpp"
#include "product.hpp"

namespace bq::cpu {

// y [tokens, rows]: the strip's part of the output; `stride` floats from one token to the next.
struct output {
  float* y;
  std::int64_t stride;
};

inline constexpr int float_panel_cols = 128;

template <class V>
struct float_panel {
  static constexpr int rows = V::strip * V::lanes;
  alignas(64) float weights[float_panel_cols][rows];
};

template <class V, float_format F>
void unpack_floats(const unsigned char* const* rows, std::int64_t at, int cols, float_panel<V>& out) noexcept {
  alignas(64) float decoded[V::lanes][float_panel_cols];
  const unsigned char* pointers[V::lanes];
  for (int v = 0; v < V::strip; ++v) {
    for (int lane = 0; lane < V::lanes; ++lane) {
      typename F::block blocks[float_panel_cols];
      memcpy(static_cast<void*>(blocks), rows[v * V::lanes + lane] + at * static_cast<std::int64_t>(sizeof(blocks[0])),
             static_cast<std::size_t>(cols) * sizeof(blocks[0]));
      for (int c = 0; c < cols; ++c) decoded[lane][c] = F::decode(blocks[c]);
      for (int c = cols; c % 4 != 0; ++c) decoded[lane][c] = 0;
      pointers[lane] = reinterpret_cast<const unsigned char*>(decoded[lane]);
    }
    for (int c = 0; c < cols; c += 4) {
      alignas(64) unsigned char turned[16 * V::lanes];
      V::interleave16(pointers, 4 * c, turned);
      for (int i = 0; i < 4; ++i) {
        V::store(&out.weights[c + i][v * V::lanes], V::as_reals(V::load32(turned + i * 4 * V::lanes)));
      }
    }
  }
}

template <class V, int Tokens>
BQ_HD void float_tile(const float_panel<V>& w, const float* x, std::int64_t stride, int cols, bool begin, output out) {
  using reals = typename V::reals;
  reals sum[Tokens][V::strip];
#pragma GCC unroll 16
  for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 16
    for (int v = 0; v < V::strip; ++v) {
      sum[t][v] = begin ? reals(0.0f) : V::load_reals(out.y + t * out.stride + v * V::lanes);
    }
  }
  for (int c = 0; c < cols; ++c) {
#pragma GCC unroll 16
    for (int t = 0; t < Tokens; ++t) {
      const reals one(x[t * stride + c]);
#pragma GCC unroll 16
      for (int v = 0; v < V::strip; ++v) sum[t][v] = V::fma(V::load_reals(&w.weights[c][v * V::lanes]), one, sum[t][v]);
    }
  }
#pragma GCC unroll 16
  for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 16
    for (int v = 0; v < V::strip; ++v) V::store(out.y + t * out.stride + v * V::lanes, sum[t][v]);
  }
}

template <class V, float_format F>
void float_strip_product(const unsigned char* const* rows, std::int64_t cols, const float* x, std::int64_t first,
                         std::int64_t last, float* y, std::int64_t stride) noexcept {
  constexpr int tokens = std::max(1, V::accumulators / V::strip);
  float_panel<V> w;
  for (std::int64_t at = 0; at < cols; at += float_panel_cols) {
    const int here = static_cast<int>(std::min<std::int64_t>(float_panel_cols, cols - at));
    unpack_floats<V, F>(rows, at, here, w);
    output out{y, stride};
    std::int64_t t = first;
    for (; t + tokens <= last; t += tokens, out.y += tokens * stride) {
      float_tile<V, tokens>(w, x + t * cols + at, cols, here, at == 0, out);
    }
    for (; t < last; ++t, out.y += stride) float_tile<V, 1>(w, x + t * cols + at, cols, here, at == 0, out);
  }
}

}  // namespace bq::cpu
