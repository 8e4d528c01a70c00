// The elementwise operations and the row norm over an instruction set's vectors V, each a fixed sequence of IEEE
// additions, multiplications, fused multiply-adds, divisions and square roots for every output.
//
//   exp(x) = 2^n * (1 + r + r^2 p(r)), n = round(x / ln 2), r = x - n ln 2 in two steps; p of degree 4, minimax on
//   |r| <= ln 2 / 2: 2^-27.9, and four roundings: relative error below 2^-22. 0 below ln 2^-126, infinity above
//   127.5 ln 2; exp(0) = 1.
#pragma once
#include <cmath>

#include "ops.hpp"
#include "wide.hpp"

namespace bq::cpu {

template <class V, class R = typename V::reals>
BQ_HD R exponential(R x) {
  const R magic(12582912.0f);  // adding it leaves no fraction bits: rounds to nearest even
  const R shifted = V::fma(x, R(0x1.715476p+0f), magic);
  const R n = shifted - magic;
  const R r = V::fnma(n, R(0x1.7f7d1cp-20f), V::fnma(n, R(0x1.62e4p-1f), x));
  R p = V::fma(R(0x1.6a2434p-10f), r, R(0x1.1239e2p-7f));
  p = V::fma(p, r, R(0x1.5558f2p-5f));
  p = V::fma(p, r, R(0x1.555492p-3f));
  p = V::fma(p, r, R(0x1.fffffcp-2f));
  const R power = V::as_reals((V::as_words(shifted) << 23) + 0x3f800000u);
  const R y = V::fma(r * r, p, r + R(1.0f)) * power;
  const R not_small = V::select(x < R(-87.3365448f), R(0.0f), y);
  return V::select(x > R(88.3762589f), R(HUGE_VALF), not_small);
}

// x / (1 + exp(-t))
template <class V, class R = typename V::reals>
BQ_HD R times_logistic(R x, R t) {
  return x / (R(1.0f) + exponential<V>(R(0.0f) - t));
}

template <class V>
struct silu {
  template <class R>
  BQ_HD static R apply(R x) {
    return times_logistic<V>(x, x);
  }
};

template <class V>
struct gelu {
  template <class R>
  BQ_HD static R apply(R x) {
    constexpr float twice_root = 1.5957691216057308f;  // 2 sqrt(2 / pi)
    const R cubic = V::fma(x * x, R(0.044715f * twice_root), R(twice_root));
    return times_logistic<V>(x, x * cubic);
  }
};

template <class V, template <class> class F>
void gated_elements(const float* gate, const float* up, std::int64_t n, float* out) noexcept {
  using w = wide<V>;
  for (std::int64_t at = 0; at < n; at += w::size) {
    const w g = w::load(gate + at, n - at), u = w::load(up + at, n - at);
    w::each([&](int i) { return F<V>::apply(g.part[i]) * u.part[i]; }).store(out + at, n - at);
  }
}

// tanh(y) = 1 - 2 / (exp(2 y) + 1)
template <class V>
void soft_cap_elements(float* x, std::int64_t n, float limit) noexcept {
  using w = wide<V>;
  using reals = typename V::reals;
  for (std::int64_t at = 0; at < n; at += w::size) {
    const w v = w::load(x + at, n - at);
    w::each([&](int i) {
      const reals y = v.part[i] / reals(limit), e = exponential<V>(y + y);
      return reals(limit) * (reals(1.0f) - reals(2.0f) / (e + reals(1.0f)));
    }).store(x + at, n - at);
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
