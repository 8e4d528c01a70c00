// The elementwise operations and the row norm over an instruction set's vectors V, each a fixed sequence of IEEE
// additions, multiplications, fused multiply-adds, divisions and square roots for every output.
#pragma once
#include <cmath>

#include "ops.hpp"
#include "src/activation_functions.hpp"
#include "wide.hpp"

namespace bq::cpu {

template <class V, template <class> class F>
void gated_elements(const float* gate, const float* up, std::int64_t n, float* out) noexcept {
  using w = wide<V>;
  for (std::int64_t at = 0; at < n; at += w::size) {
    const w g = w::load(gate + at, n - at), u = w::load(up + at, n - at);
    w::each([&](int i) { return F<V>::apply(g.part[i]) * u.part[i]; }).store(out + at, n - at);
  }
}

template <class V>
void soft_cap_elements(float* x, std::int64_t n, float limit) noexcept {
  using w = wide<V>;
  for (std::int64_t at = 0; at < n; at += w::size) {
    const w v = w::load(x + at, n - at);
    w::each([&](int i) { return soft_cap_element<V>(v.part[i], limit); }).store(x + at, n - at);
  }
}

// Squares are summed by FMA, element i in lane i mod 16 in order; then out = (x * (1 / sqrt(sum / cols + epsilon))) *
// weight.
template <class V>
void rms_norm_rows(float* x, const float* residual, const float* weight, float epsilon, std::int64_t rows,
                   std::int64_t cols, float* out) noexcept {
  using w = wide<V>;
  for (std::int64_t r = 0; r < rows; ++r, x += cols, out += cols) {
    w squares(0.0f);
    for (std::int64_t at = 0; at < cols; at += w::size) {
      w v = w::load(x + at, cols - at);
      if (residual) {
        v = v + w::load(residual + at, cols - at);
        v.store(x + at, cols - at);
      }
      squares = w::fma(v, v, squares);
    }
    if (residual) residual += cols;
    const float mean = squares.sum() / static_cast<float>(cols);
    const w scale(1.0f / std::sqrt(mean + epsilon));
    for (std::int64_t at = 0; at < cols; at += w::size) {
      (w::load(x + at, cols - at) * scale * w::load(weight + at, cols - at)).store(out + at, cols - at);
    }
  }
}

// x = fma(partner, sine, x * cosine) for the first `dims` values of every head; the table's sine has the sign with
// which the partner of the pair enters.
template <class V>
void rope_rows(float* x, std::int64_t tokens, std::int64_t heads, std::int64_t head_dim, std::int64_t dims,
               bool adjacent, const float* cosine, const float* sine) noexcept {
  using w = wide<V>;
  float partner[most_head_dim];
  for (std::int64_t t = 0; t < tokens; ++t, cosine += dims, sine += dims) {
    for (std::int64_t h = 0; h < heads; ++h, x += head_dim) {
      if (adjacent) {
        for (std::int64_t i = 0; i < dims; i += 2) partner[i] = x[i + 1], partner[i + 1] = x[i];
      } else {
        const std::size_t half = static_cast<std::size_t>(dims / 2) * sizeof *x;
        memcpy(partner, x + dims / 2, half);
        memcpy(partner + dims / 2, x, half);
      }
      for (std::int64_t at = 0; at < dims; at += w::size) {
        const std::int64_t n = dims - at;
        w::fma(w::load(partner + at, n), w::load(sine + at, n), w::load(x + at, n) * w::load(cosine + at, n))
            .store(x + at, n);
      }
    }
  }
}

}  // namespace bq::cpu
