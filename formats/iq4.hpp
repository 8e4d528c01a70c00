// What IQ4_NL and IQ4_XS share: 4-bit codes that index 16 signed values, denser near zero, and the search for a scale.
// Source: quantize_row_iq4_nl_impl of ggml-quants.c.
#pragma once
#include "search.hpp"

namespace bq {

// Entry `index` of the codebook.
template <class L>
BQ_BOTH typename L::reals iq4_value(typename L::ints index) {
  static constexpr float values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
  return L::lookup(values, index);
}

// Halfway from entry `index` to the next. The differences that the reference compares are exact where they are close.
template <class L>
BQ_BOTH typename L::reals iq4_bound(typename L::ints index) {
  static constexpr float bounds[16] = {-115.5f, -93.5f, -74.0f, -57.0f, -42.0f, -28.5f, -16.0f, -4.5f,
                                       7.0f,    19.0f,  31.5f,  45.5f,  61.0f,  79.0f,  101.0f, 0.0f};
  return L::lookup(bounds, index);
}

BQ_HD constexpr codebook16 iq4_codebook() { return {{0xbfad9881u, 0xf6eaddcfu, 0x26190d01u, 0x71594535u}}; }

// Index of the value nearest to x (the larger of two at the same distance); 15 for NaN.
template <class L>
BQ_BOTH typename L::ints iq4_nearest(typename L::reals x) {
  typename L::ints index = 0;
  for (int step = 8; step > 0; step /= 2) index = L::select(x < iq4_bound<L>(index + (step - 1)), index, index + step);
  return index;
}

template <class L>
BQ_BOTH void iq4_round(const typename L::reals* x, typename L::reals scale, int n, typename L::ints* codes) {
  const typename L::reals inverse = divide_or_zero<L>(1.0f, scale);
  for (int i = 0; i < n; ++i) codes[i] = iq4_nearest<L>(inverse * x[i]);
}

// Scale of a group of 32: of the one that maps the extreme weight to 127 and those that map it to -134 .. -120, the one
// with the best weighted fit.
template <class L>
BQ_BOTH typename L::reals iq4_search(const typename L::reals* x, const typename L::reals* w) {
  using reals = typename L::reals;
  const reals top = extreme<L>(x, 32);
  const auto unused = L::abs(top) < negligible;
  best_fit<L> best;
  const auto try_scale = [&](reals inverse, bool first) {
    fit<L> f;
    for (int i = 0; i < 32; ++i) {
      const reals q = iq4_value<L>(iq4_nearest<L>(inverse * x[i]));
      f.xl = f.xl + w[i] * q * x[i];
      f.ll = f.ll + w[i] * q * q;
    }
    best.offer(f, inverse, first);
  };
  if (L::any(!unused)) {
    constexpr float least = -127;
    try_scale(1.0f / (L::negate(top) / least), true);
    for (int k = -7; k <= 7; ++k) try_scale((static_cast<float>(k) + least) / top, false);
  }
  return L::select(unused, 0.0f, best.scale);
}

// Error weights of n weights whose block has this variance term: with importance, or squares.
template <class L>
BQ_BOTH void iq4_weights(const typename L::reals* x, const typename L::reals* importance, int n,
                         typename L::reals variance, typename L::reals* w) {
  if (importance)
    importance_weights<L>(x, importance, n, variance, w);
  else
    squares<L>(x, n, w);
}

// The variance term of a block of n weights.
template <class L>
BQ_BOTH typename L::reals iq4_variance(const typename L::reals* x, int n) {
  return sum_squares<L>(x, n) * (2.0f / static_cast<float>(n));
}

}  // namespace bq
