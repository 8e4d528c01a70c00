// What reference quantisers share: statistics of a group, error weights, and the searches for one group's scale, for
// the groups in all lanes of L (formats/lanes.hpp) at once. A search takes n weights x under one scale and their error
// weights w, writes n codes and returns the scale.
//
// They follow ggml's reference quantisers (ggml-quants.c) in the order of every floating-point operation, because the
// bytes depend on it; build without FMA contraction.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "rounding.hpp"

namespace bq {

// A group without a weight of this magnitude is stored as zero.
inline constexpr float negligible = 1e-15f;

template <class L>
BQ_BOTH typename L::mask is_nan(typename L::reals x) {
  return !(x == x);  // NOLINT(misc-redundant-expression): NaN alone differs from itself
}

// a / b, and 0 where b is 0.
template <class L>
BQ_BOTH typename L::reals divide_or_zero(typename L::reals a, typename L::reals b) {
  return L::select(b == 0.0f, 0.0f, a / b);
}

template <class L>
BQ_BOTH typename L::reals max_abs(const typename L::reals* x, int n) {
  typename L::reals top = 0.0f;
  for (int i = 0; i < n; ++i) {
    const typename L::reals size = L::abs(x[i]);
    top = L::select(top > size, top, size);
  }
  return top;
}

// The weight of largest magnitude (the first of equals), with its sign; NaN if there is one. A search whose sums
// overflow gives a NaN scale, and this carries it into the block, which then does not look like zeros.
template <class L>
BQ_BOTH typename L::reals extreme(const typename L::reals* x, int n) {
  typename L::reals top = 0.0f;
  for (int i = 0; i < n; ++i) top = L::select(L::abs(x[i]) > L::abs(top) || is_nan<L>(x[i]), x[i], top);
  return top;
}

template <class L>
BQ_BOTH typename L::reals sum(const typename L::reals* x, int n) {
  typename L::reals total = 0.0f;
  for (int i = 0; i < n; ++i) total = total + x[i];
  return total;
}

template <class L>
BQ_BOTH typename L::reals sum_squares(const typename L::reals* x, int n) {
  typename L::reals total = 0.0f;
  for (int i = 0; i < n; ++i) total = total + x[i] * x[i];
  return total;
}

template <class L>
BQ_BOTH void squares(const typename L::reals* x, int n, typename L::reals* w) {
  for (int i = 0; i < n; ++i) w[i] = x[i] * x[i];
}

// Error weights from an importance matrix: importance * sqrt(variance + x^2).
template <class L>
BQ_BOTH void importance_weights(const typename L::reals* x, const typename L::reals* importance, int n,
                                typename L::reals variance, typename L::reals* w) {
  for (int i = 0; i < n; ++i) w[i] = importance[i] * L::sqrt(variance + x[i] * x[i]);
}

// Sums of the weighted least-squares fit of x by scale * l, whose best scale is xl / ll.
template <class L>
struct fit {
  using reals = typename L::reals;
  reals xl = 0.0f, ll = 0.0f;

  BQ_BOTH void add(reals w, reals x, reals l) {
    xl = xl + w * x * l;
    ll = ll + w * l * l;
  }
  BQ_BOTH void remove(reals w, reals x, reals l) {
    xl = xl - w * x * l;
    ll = ll - w * l * l;
  }
  BQ_BOTH reals scale() const { return L::select(ll > 0.0f, xl / ll, 0.0f); }
};

// The best of the fits offered: the first, unless a later one explains more of the weights. `inverse` is what its codes
// were found with.
template <class L>
struct best_fit {
  using reals = typename L::reals;
  reals scale = 0.0f, explained = 0.0f, inverse = 0.0f;

  BQ_BOTH void offer(const fit<L>& f, reals found_with, bool first) {
    const auto better = first ? typename L::mask(true) : f.ll > 0.0f && f.xl * f.xl > explained * f.ll;
    scale = L::select(better, divide_or_zero<L>(f.xl, f.ll), scale);
    explained = L::select(better, scale * f.xl, explained);
    inverse = L::select(better, found_with, inverse);
  }
};

// Codes l in [-limit, limit - 1], stored as l + limit: of 19 scales around the one that maps the extreme weight to
// -limit, the one with the best fit.
template <class L>
BQ_BOTH typename L::reals symmetric_search(const typename L::reals* x, const typename L::reals* w, int n, int limit,
                                           typename L::ints* codes) {
  using reals = typename L::reals;
  const reals top = extreme<L>(x, n);
  const auto used = L::abs(top) >= negligible;
  const reals unused_scale = L::select(is_nan<L>(top), top, 0.0f);
  const auto code = [=](reals inverse, reals value) { return nearest_int<L>(inverse * value, -limit, limit - 1); };
  best_fit<L> best;
  const auto try_scale = [&](int k, bool first) {
    const reals inverse = -(static_cast<float>(limit) + 0.1f * static_cast<float>(k)) / top;
    fit<L> f;
    for (int i = 0; i < n; ++i) f.add(w[i], x[i], L::to_reals(code(inverse, x[i])));
    best.offer(f, inverse, first);
  };
  if (L::any(used)) {
    try_scale(0, true);
    for (int k = -9; k <= 9; ++k) {
      if (k != 0) try_scale(k, false);
    }
  }
  for (int i = 0; i < n; ++i) codes[i] = L::select(used, code(best.inverse, x[i]) + limit, 0);
  return L::select(used, best.scale, unused_scale);
}

// Coordinate descent: at most five passes that move one code at a time (in [low, high], stored plus zero) to where the
// best scale of the others wants it, while that improves the fit. `strict` skips a code without which the fit has no
// scale. A pass that changes no code of a lane leaves its fit, so further passes change nothing either.
template <class L>
BQ_BOTH void descend(const typename L::reals* x, const typename L::reals* w, int n, int low, int high, int zero,
                     bool strict, typename L::mask used, typename L::ints* codes, fit<L>& f) {
  using reals = typename L::reals;
  bool changed = true;
  for (int pass = 0; pass < 5 && changed; ++pass) {
    changed = false;
    for (int i = 0; i < n; ++i) {
      const reals old = L::to_reals(codes[i] - zero);
      fit<L> moved = f;
      moved.remove(w[i], x[i], old);
      auto better = used && moved.xl > 0.0f;
      if (strict) better = better && moved.ll > 0.0f;
      const auto l = nearest_int<L>(x[i] * moved.ll / moved.xl, low, high);
      better = better && !(L::to_reals(l) == old);
      moved.add(w[i], x[i], L::to_reals(l));
      better = better && moved.ll > 0.0f && moved.xl * moved.xl * f.ll > f.xl * f.xl * moved.ll;
      if (!L::any(better)) continue;
      codes[i] = L::select(better, (l + zero) & 255, codes[i]);
      f.xl = L::select(better, moved.xl, f.xl);
      f.ll = L::select(better, moved.ll, f.ll);
      changed = true;
    }
  }
}

// As symmetric_search, by descent from the scale that maps the extreme weight to -limit.
template <class L>
BQ_BOTH typename L::reals symmetric_descent(const typename L::reals* x, const typename L::reals* w, int n, int limit,
                                            typename L::ints* codes) {
  using reals = typename L::reals;
  const reals top = extreme<L>(x, n);
  const auto used = L::abs(top) >= negligible;
  const reals inverse = static_cast<float>(-limit) / top;
  fit<L> f;
  for (int i = 0; i < n; ++i) {
    const auto l = nearest_int<L>(inverse * x[i], -limit, limit - 1);
    codes[i] = L::select(used, l + limit, 0);
    f.add(w[i], x[i], L::to_reals(l));
  }
  descend<L>(x, w, n, -limit, limit - 1, limit, false, used, codes, f);
  return L::select(used, f.scale(), L::select(is_nan<L>(top), top, 0.0f));
}

// Codes in [0, limit] for x >= 0: of nine scales around the one that maps the largest to limit, the one with the least
// squared error, then descent. A negative x, which a degenerate fit can leave, wraps to a code up to 255, as in the
// reference.
template <class L>
BQ_BOTH typename L::reals positive_search(const typename L::reals* x, const typename L::reals* w, int n, int limit,
                                          typename L::ints* codes) {
  using reals = typename L::reals;
  reals top = 0.0f;
  for (int i = 0; i < n; ++i) top = L::select(top < x[i], x[i], top);
  const auto used = !(top < negligible);
  const auto code = [=](reals inverse, reals value) { return L::min(nearest_int<L>(inverse * value), limit); };
  const auto inverse_at = [=](int k) -> reals {
    return (0.1f * static_cast<float>(k) + static_cast<float>(limit)) / top;
  };
  const auto error_at = [&](reals inverse, int stored_bits) {
    const reals scale = 1.0f / inverse;
    reals error = 0.0f;
    for (int i = 0; i < n; ++i) {
      const reals difference = x[i] - scale * L::to_reals(code(inverse, x[i]) & stored_bits);
      error = error + w[i] * difference * difference;
    }
    return error;
  };
  reals inverse = inverse_at(0), best = error_at(inverse, 255);
  for (int k = -4; k <= 4; ++k) {
    if (k == 0) continue;
    const reals trial = inverse_at(k), error = error_at(trial, -1);
    const auto better = error < best;
    best = L::select(better, error, best);
    inverse = L::select(better, trial, inverse);
  }
  fit<L> f;
  for (int i = 0; i < n; ++i) {
    const auto l = code(inverse, x[i]);
    codes[i] = L::select(used, l & 255, 0);
    f.add(w[i], x[i], L::to_reals(l));
  }
  descend<L>(x, w, n, std::numeric_limits<int>::min(), limit, 0, true, used, codes, f);
  return L::select(used, f.scale(), 0.0f);
}

// The scales that affine_search tries: those that map the range to limit + first + k * step, k = 0 .. steps.
struct affine_grid {
  float first, step;
  int steps;
  bool absolute;  // minimise absolute errors, else squared ones
};

// Codes in [0, limit], x about scale * code - minimum with minimum >= 0: the best of the plain fit to the range and the
// weighted least-squares fits to the codes of each scale on the grid. n <= 32.
template <class L>
BQ_BOTH typename L::reals affine_search(const typename L::reals* x, const typename L::reals* w, int n, int limit,
                                        const affine_grid& grid, typename L::ints* codes, typename L::reals* minimum) {
  using reals = typename L::reals;
  reals low = x[0], high = x[0], sum_w = w[0], sum_x = w[0] * x[0];
  for (int i = 1; i < n; ++i) {
    low = L::select(x[i] < low, x[i], low);
    high = L::select(x[i] > high, x[i], high);
    sum_w = sum_w + w[i];
    sum_x = sum_x + w[i] * x[i];
  }
  low = L::select(low > 0.0f, 0.0f, low);
  const auto used = !(high <= low);

  // The codes of the best scale so far are those of `inverse` and `base`.
  const auto code = [=](reals at, reals from, reals value) { return nearest_int<L>(at * (value - from), 0, limit); };
  reals trial[32];
  const auto error_of = [&](reals scale, reals offset) {
    reals error = 0.0f;
    for (int i = 0; i < n; ++i) {
      const reals difference = scale * trial[i] + offset - x[i];
      error = error + w[i] * (grid.absolute ? L::abs(difference) : difference * difference);
    }
    return error;
  };
  reals base = low, inverse = static_cast<float>(limit) / (high - low), scale = 1.0f / inverse;
  for (int i = 0; i < n; ++i) trial[i] = L::to_reals(code(inverse, base, x[i]));
  reals best = error_of(scale, low);

  if (L::any(used)) {
    for (int k = 0; k <= grid.steps; ++k) {
      const reals at = (grid.first + grid.step * static_cast<float>(k) + static_cast<float>(limit)) / (high - low);
      reals sum_l = 0.0f, sum_ll = 0.0f, sum_xl = 0.0f;
      for (int i = 0; i < n; ++i) {
        const reals l = L::to_reals(code(at, low, x[i]));
        trial[i] = l;
        sum_l = sum_l + w[i] * l;
        sum_ll = sum_ll + w[i] * l * l;
        sum_xl = sum_xl + w[i] * l * x[i];
      }
      const reals determinant = sum_w * sum_ll - sum_l * sum_l;
      reals trial_scale = (sum_w * sum_xl - sum_x * sum_l) / determinant;
      reals trial_low = (sum_ll * sum_x - sum_l * sum_xl) / determinant;
      const auto above = trial_low > 0.0f;
      trial_low = L::select(above, 0.0f, trial_low);
      trial_scale = L::select(above, sum_xl / sum_ll, trial_scale);
      const reals error = error_of(trial_scale, trial_low);
      const auto better = used && determinant > 0.0f && error < best;
      base = L::select(better, low, base);
      inverse = L::select(better, at, inverse);
      best = L::select(better, error, best);
      scale = L::select(better, trial_scale, scale);
      low = L::select(better, trial_low, low);
    }
  }
  for (int i = 0; i < n; ++i) codes[i] = L::select(used, code(inverse, base, x[i]), 0);
  *minimum = L::negate(low);
  return L::select(used, scale, 0.0f);
}

}  // namespace bq
