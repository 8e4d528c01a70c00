// What reference quantisers share: statistics of a group, error weights, and the searches for one group's scale. A
// search takes n weights x under one scale and their error weights w, writes n codes and returns the scale.
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

inline float max_abs(const float* x, int n) {
  float top = 0;
  for (int i = 0; i < n; ++i) top = top > std::fabs(x[i]) ? top : std::fabs(x[i]);
  return top;
}

// The weight of largest magnitude (the first of equals), with its sign; NaN if there is one. A search whose sums
// overflow gives a NaN scale, and this carries it into the block, which then does not look like zeros.
inline float extreme(const float* x, int n) {
  float top = 0;
  for (int i = 0; i < n; ++i) {
    if (std::fabs(x[i]) > std::fabs(top) || std::isnan(x[i])) top = x[i];
  }
  return top;
}

inline float sum(const float* x, int n) {
  float total = 0;
  for (int i = 0; i < n; ++i) total += x[i];
  return total;
}

inline float sum_squares(const float* x, std::int64_t n) {
  float total = 0;
  for (std::int64_t i = 0; i < n; ++i) total += x[i] * x[i];
  return total;
}

inline void squares(const float* x, int n, float* w) {
  for (int i = 0; i < n; ++i) w[i] = x[i] * x[i];
}

// Error weights from an importance matrix: importance * sqrt(variance + x^2).
inline void importance_weights(const float* x, const float* importance, int n, float variance, float* w) {
  for (int i = 0; i < n; ++i) w[i] = importance[i] * std::sqrt(variance + x[i] * x[i]);
}

// Sums of the weighted least-squares fit of x by scale * l, whose best scale is xl / ll.
struct fit {
  float xl = 0, ll = 0;

  void add(float w, float x, int code) {
    const float l = static_cast<float>(code);
    xl += w * x * l;
    ll += w * l * l;
  }
  void remove(float w, float x, int code) {
    const float l = static_cast<float>(code);
    xl -= w * x * l;
    ll -= w * l * l;
  }
};

// Codes l in [-limit, limit - 1], stored as l + limit: of 19 scales around the one that maps the extreme weight to
// -limit, the one with the best fit.
inline float symmetric_search(const float* x, const float* w, int n, int limit, std::uint8_t* codes) {
  const float top = extreme(x, n);
  if (!(std::fabs(top) >= negligible)) {
    std::fill_n(codes, n, std::uint8_t{0});
    return std::isnan(top) ? top : 0;
  }
  const auto code = [=](float inverse, int i) { return std::clamp(nearest_int(inverse * x[i]), -limit, limit - 1); };
  float scale = 0, best = 0, best_inverse = 0;
  const auto try_scale = [&](int k, bool first) {
    const float inverse = -(static_cast<float>(limit) + 0.1f * static_cast<float>(k)) / top;
    fit f;
    for (int i = 0; i < n; ++i) f.add(w[i], x[i], code(inverse, i));
    if (first || (f.ll > 0 && f.xl * f.xl > best * f.ll)) {
      scale = f.ll != 0 ? f.xl / f.ll : 0.0f;
      best = scale * f.xl;
      best_inverse = inverse;
    }
  };
  try_scale(0, true);
  for (int k = -9; k <= 9; ++k) {
    if (k != 0) try_scale(k, false);
  }
  for (int i = 0; i < n; ++i) codes[i] = static_cast<std::uint8_t>(code(best_inverse, i) + limit);
  return scale;
}

// Coordinate descent: at most five passes that move one code at a time (in [low, high], stored plus zero) to where the
// best scale of the others wants it, while that improves the fit. `strict` skips a code without which the fit has no
// scale.
inline void descend(const float* x, const float* w, int n, int low, int high, int zero, bool strict,
                    std::uint8_t* codes, fit& f) {
  bool changed = true;
  for (int pass = 0; pass < 5 && changed; ++pass) {
    changed = false;
    for (int i = 0; i < n; ++i) {
      fit moved = f;
      moved.remove(w[i], x[i], codes[i] - zero);
      if (!(moved.xl > 0) || (strict && !(moved.ll > 0))) continue;
      const int l = std::clamp(nearest_int(x[i] * moved.ll / moved.xl), low, high);
      if (l == codes[i] - zero) continue;
      moved.add(w[i], x[i], l);
      if (moved.ll > 0 && moved.xl * moved.xl * f.ll > f.xl * f.xl * moved.ll) {
        codes[i] = static_cast<std::uint8_t>(l + zero);
        f = moved;
        changed = true;
      }
    }
  }
}

// As symmetric_search, by descent from the scale that maps the extreme weight to -limit.
inline float symmetric_descent(const float* x, const float* w, int n, int limit, std::uint8_t* codes) {
  const float top = extreme(x, n);
  if (!(std::fabs(top) >= negligible)) {
    std::fill_n(codes, n, std::uint8_t{0});
    return std::isnan(top) ? top : 0;
  }
  const float inverse = static_cast<float>(-limit) / top;
  fit f;
  for (int i = 0; i < n; ++i) {
    const int l = std::clamp(nearest_int(inverse * x[i]), -limit, limit - 1);
    codes[i] = static_cast<std::uint8_t>(l + limit);
    f.add(w[i], x[i], l);
  }
  descend(x, w, n, -limit, limit - 1, limit, false, codes, f);
  return f.ll > 0 ? f.xl / f.ll : 0.0f;
}

// Codes in [0, limit] for x >= 0: of nine scales around the one that maps the largest to limit, the one with the least
// squared error, then descent. A negative x, which a degenerate fit can leave, wraps to a code up to 255, as in the
// reference.
inline float positive_search(const float* x, const float* w, int n, int limit, std::uint8_t* codes) {
  float top = 0;
  for (int i = 0; i < n; ++i) top = std::max(top, x[i]);
  if (top < negligible) {
    std::fill_n(codes, n, std::uint8_t{0});
    return 0;
  }
  const auto code = [=](float inverse, int i) { return std::min(nearest_int(inverse * x[i]), limit); };
  const auto inverse_at = [=](int k) { return (0.1f * static_cast<float>(k) + static_cast<float>(limit)) / top; };
  const auto error_at = [&](float inverse, int stored_bits) {
    const float scale = 1 / inverse;
    float error = 0;
    for (int i = 0; i < n; ++i) {
      const float difference = x[i] - scale * static_cast<float>(code(inverse, i) & stored_bits);
      error += w[i] * difference * difference;
    }
    return error;
  };
  float inverse = inverse_at(0), best = error_at(inverse, 255);
  for (int k = -4; k <= 4; ++k) {
    if (k == 0) continue;
    if (const float error = error_at(inverse_at(k), -1); error < best) {
      best = error;
      inverse = inverse_at(k);
    }
  }
  fit f;
  for (int i = 0; i < n; ++i) {
    const int l = code(inverse, i);
    codes[i] = static_cast<std::uint8_t>(l);
    f.add(w[i], x[i], l);
  }
  descend(x, w, n, std::numeric_limits<int>::min(), limit, 0, true, codes, f);
  return f.ll > 0 ? f.xl / f.ll : 0.0f;
}

// The scales that affine_search tries: those that map the range to limit + first + k * step, k = 0 .. steps.
struct affine_grid {
  float first, step;
  int steps;
  bool absolute;  // minimise absolute errors, else squared ones
};

// Codes in [0, limit], x about scale * code - minimum with minimum >= 0: the best of the plain fit to the range and the
// weighted least-squares fits to the codes of each scale on the grid. n <= 32.
inline float affine_search(const float* x, const float* w, int n, int limit, const affine_grid& grid,
                           std::uint8_t* codes, float* minimum) {
  float low = x[0], high = x[0], sum_w = w[0], sum_x = w[0] * x[0];
  for (int i = 1; i < n; ++i) {
    if (x[i] < low) low = x[i];
    if (x[i] > high) high = x[i];
    sum_w += w[i];
    sum_x += w[i] * x[i];
  }
  if (low > 0) low = 0;
  if (high <= low) {
    std::fill_n(codes, n, std::uint8_t{0});
    *minimum = -low;
    return 0;
  }
  const auto code = [&](float inverse, int i) {
    return static_cast<std::uint8_t>(std::clamp(nearest_int(inverse * (x[i] - low)), 0, limit));
  };
  const auto error_of = [=](float scale, float offset, const std::uint8_t* q) {
    float error = 0;
    for (int i = 0; i < n; ++i) {
      const float difference = scale * static_cast<float>(q[i]) + offset - x[i];
      error += w[i] * (grid.absolute ? std::fabs(difference) : difference * difference);
    }
    return error;
  };
  float inverse = static_cast<float>(limit) / (high - low), scale = 1 / inverse;
  for (int i = 0; i < n; ++i) codes[i] = code(inverse, i);
  float best = error_of(scale, low, codes);

  std::uint8_t trial[32];
  for (int k = 0; k <= grid.steps; ++k) {
    inverse = (grid.first + grid.step * static_cast<float>(k) + static_cast<float>(limit)) / (high - low);
    float sum_l = 0, sum_ll = 0, sum_xl = 0;
    for (int i = 0; i < n; ++i) {
      trial[i] = code(inverse, i);
      const float l = static_cast<float>(trial[i]);
      sum_l += w[i] * l;
      sum_ll += w[i] * l * l;
      sum_xl += w[i] * l * x[i];
    }
    const float determinant = sum_w * sum_ll - sum_l * sum_l;
    if (!(determinant > 0)) continue;
    float trial_scale = (sum_w * sum_xl - sum_x * sum_l) / determinant;
    float trial_low = (sum_ll * sum_x - sum_l * sum_xl) / determinant;
    if (trial_low > 0) {
      trial_low = 0;
      trial_scale = sum_xl / sum_ll;
    }
    const float error = error_of(trial_scale, trial_low, trial);
    if (error < best) {
      std::copy_n(trial, n, codes);
      best = error;
      scale = trial_scale;
      low = trial_low;
    }
  }
  *minimum = -low;
  return scale;
}

}  // namespace bq
