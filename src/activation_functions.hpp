// The functions of activations, element by element, over an instruction set's vectors or a GPU thread's float V: each a
// fixed sequence of IEEE additions, multiplications, fused multiply-adds and divisions, so that all give the same bits.
//
//   exp(x) = 2^n * (1 + r + r^2 p(r)), n = round(x / ln 2), r = x - n ln 2 in two steps; p of degree 4, minimax on
//   |r| <= ln 2 / 2: 2^-27.9, and four roundings: relative error below 2^-22. 0 below ln 2^-126, infinity above
//   127.5 ln 2; exp(0) = 1.
#pragma once
#include <cmath>

#include "formats/format.hpp"

namespace bq {

template <class V, class R = typename V::reals>
BQ_HD R exponential_of_negative(R x) {  // or of zero
  const R magic(12582912.0f);           // adding it leaves no fraction bits: rounds to nearest even
  const R shifted = V::fma(x, R(0x1.715476p+0f), magic);
  const R n = shifted - magic;
  const R r = V::fnma(n, R(0x1.7f7d1cp-20f), V::fnma(n, R(0x1.62e4p-1f), x));
  R p = V::fma(R(0x1.6a2434p-10f), r, R(0x1.1239e2p-7f));
  p = V::fma(p, r, R(0x1.5558f2p-5f));
  p = V::fma(p, r, R(0x1.555492p-3f));
  p = V::fma(p, r, R(0x1.fffffcp-2f));
  const R power = V::as_reals((V::as_words(shifted) << 23) + 0x3f800000u);
  const R y = V::fma(r * r, p, r + R(1.0f)) * power;
  return V::select(x < R(-87.3365448f), R(0.0f), y);
}

template <class V, class R = typename V::reals>
BQ_HD R exponential(R x) {
  return V::select(x > R(88.3762589f), R(HUGE_VALF), exponential_of_negative<V>(x));
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

// limit * tanh(x / limit), tanh(y) = 1 - 2 / (exp(2 y) + 1)
template <class V, class R = typename V::reals>
BQ_HD R soft_cap_element(R x, float limit) {
  const R y = x / R(limit), e = exponential<V>(y + y);
  return R(limit) * (R(1.0f) - R(2.0f) / (e + R(1.0f)));
}

}  // namespace bq
