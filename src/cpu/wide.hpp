// Sixteen floats as one value, whatever the width of the instruction set's vectors, so that sums have one order
// everywhere: element i of a row goes to lane i mod 16, and sum() adds the lanes as a tree of halves.
#pragma once
#include <cstring>

#include "formats/float16.hpp"

namespace bq::cpu {

template <class V>
struct wide {
  using reals = typename V::reals;
  static constexpr int size = 16, parts = size / V::lanes;
  reals part[parts];

  BQ_HD wide() = default;
  BQ_HD wide(float all) {
    for (int i = 0; i < parts; ++i) part[i] = reals(all);
  }
  BQ_HD static wide load(const float* p) {
    return each([&](int i) { return V::load_reals(p + i * V::lanes); });
  }
  BQ_HD void store(float* p) const {
    for (int i = 0; i < parts; ++i) V::store(p + i * V::lanes, part[i]);
  }
  // The first n elements, 0 < n <= 16; the rest are zero.
  BQ_HD static wide load(const float* p, std::int64_t n) {
    if (n >= size) return load(p);
    alignas(64) float padded[size] = {};
    for (int i = 0; i < n; ++i) padded[i] = p[i];
    return load(padded);
  }
  BQ_HD void store(float* p, std::int64_t n) const {
    if (n >= size) return store(p);
    alignas(64) float padded[size];
    store(padded);
    for (int i = 0; i < n; ++i) p[i] = padded[i];
  }

  // f(i) for every part.
  template <class F>
  BQ_HD static wide each(const F& f) {
    wide w;
#pragma GCC unroll 16
    for (int i = 0; i < parts; ++i) w.part[i] = f(i);
    return w;
  }
  BQ_HD friend wide operator+(const wide& a, const wide& b) {
    return each([&](int i) { return a.part[i] + b.part[i]; });
  }
  BQ_HD friend wide operator*(const wide& a, const wide& b) {
    return each([&](int i) { return a.part[i] * b.part[i]; });
  }
  BQ_HD static wide fma(const wide& a, const wide& b, const wide& c) {
    return each([&](int i) { return V::fma(a.part[i], b.part[i], c.part[i]); });
  }

  BQ_HD float sum() const {
    alignas(64) float lane[size];
    store(lane);
    for (int half = size / 2; half > 0; half /= 2) {
      for (int i = 0; i < half; ++i) lane[i] += lane[i + half];
    }
    return lane[0];
  }
  // f over the lanes as a tree of halves, of V::lanes values at once: lane i is that of w[i].
  template <class F>
  BQ_HD static reals across(const wide* w, const F& f) {
    using words = typename V::words;
    words folded[V::lanes];
    for (int i = 0; i < V::lanes; ++i) {
      wide v = w[i];
      for (int half = parts / 2; half > 0; half /= 2) {
        for (int p = 0; p < half; ++p) v.part[p] = f(v.part[p], v.part[p + half]);
      }
      folded[i] = V::as_words(v.part[0]);
    }
    return V::as_reals(
        V::across(folded, [&](words a, words b) { return V::as_words(f(V::as_reals(a), V::as_reals(b))); }));
  }
  // sum() of each.
  BQ_HD static reals sums(const wide* w) {
    return across(w, [](reals a, reals b) { return a + b; });
  }
};

}  // namespace bq::cpu
