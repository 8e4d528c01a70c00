// What a product needs of one token in one panel, made once for all strips of weights: the scales of the activations'
// runs, what integer sums begin with, and the sums that meet the weights' minimums. A run is Kind.columns wide.
#pragma once
#include <cstring>

#include "quantize_activations.hpp"

namespace bq::cpu {

// v * 2^k for p = power_of_two<V>(k): on units that multiplications do not need, where the instruction set has them.
template <class V>
inline constexpr bool has_scaled = requires(typename V::reals v) {
  V::scaled(v, v);
};
template <class V>
BQ_HD float power_of_two(int k) {
  return has_scaled<V> ? static_cast<float>(k) : std::bit_cast<float>(static_cast<std::uint32_t>(127 + k) << 23);
}
template <class V>
BQ_HD typename V::reals times_power(typename V::reals v, float p) {
  const typename V::reals power(p);
  if constexpr (has_scaled<V>)
    return V::scaled(v, power);
  else
    return v * power;
}

// N of them, which take no room where N is 0.
template <class T, int N>
struct several {
  T of[N];
  BQ_HD const T& operator[](int i) const { return of[i]; }
  BQ_HD T& operator[](int i) { return of[i]; }
};
template <class T>
struct several<T, 0> {
  BQ_HD const T& operator[](int) const { __builtin_unreachable(); }
};

template <panel_kind Kind, int Planes>
struct alignas(64) prologue {
  static constexpr bool powers = Kind.scales == activation_scaling::powers;
  static constexpr int parts = Kind.scale_halves ? 2 : 1, runs = panel_cols / Kind.columns;
  static constexpr int sums = Kind.minimum_bytes ? 0 : Kind.minimums;
  static constexpr int all_digits = Kind.minimum_bytes ? Kind.minimums * activations::panel_runs : 0;

  // These pass through the caches once for every strip.
  [[no_unique_address]] several<std::int32_t[parts][runs], Kind.zero == 0 ? 0 : Planes> starts;  // -zero * sum
  [[no_unique_address]] several<float[runs], sums> sum;  // scale * sum, of runs or of their halves
  // For dot products with the bytes of minimums: sums of codes, of runs or of their halves, are 256 * second + first
  // digit; where there are powers, in parts of the panel's scale (sum_parts), rounded.
  [[no_unique_address]] several<std::int8_t[2][std::max(1, all_digits)], all_digits == 0 ? 0 : Planes> digits;
  float d[powers ? 1 : runs];  // of the runs, or of the panel,
  // which the scales of the runs are times a power of two, as times_power() takes it
  [[no_unique_address]] several<float, powers ? runs : 0> power;

  // What the integer sums of a part of a run begin with.
  BQ_HD std::int32_t start(int plane, int part, int r) const {
    if constexpr (Kind.zero == 0)
      return 0;
    else
      return starts[plane][part][r];
  }

  template <class V>
  BQ_HD void read(const activations& x, std::int64_t panel, std::int64_t token) {
    constexpr int all = activations::panel_runs, pieces = Kind.columns / run;
    static_assert(pieces == 1 || parts == 1);
    const float* given = x.d_of(panel, token);
    float scale[all];
    std::uint32_t halvings[all] = {};
    if constexpr (powers) {
      std::uint32_t bits[all], largest = 0;
      memcpy(bits, given, sizeof bits);
      for (int r = 0; r < all; ++r) largest = std::max(largest, bits[r]);  // NaN is larger than everything
      d[0] = std::bit_cast<float>(largest);
      for (int r = 0; r < all; ++r) {
        halvings[r] = std::min((largest - bits[r]) >> 23, 15u);  // more only beside NaN
        power[r] = power_of_two<V>(-static_cast<int>(halvings[r]));
        scale[r] = std::bit_cast<float>((127 - halvings[r]) << 23);
      }
    } else {
      for (int r = 0; r < all; ++r) scale[r] = given[r];
      for (int r = 0; r < runs; ++r) d[r] = given[r * pieces];
    }

    std::int32_t total[2][all] = {};
    for (int p = 0; p < Planes; ++p) {
      const std::int32_t *first = x.sums_of(panel, token, p), *second = first + all;
      if constexpr (Kind.zero != 0) {
        for (int r = 0; r < runs; ++r) {
          std::int32_t codes[2] = {};
          for (int i = r * pieces; i < (r + 1) * pieces; ++i) {
            codes[0] += first[i];
            codes[parts - 1] += second[i];
          }
          for (int part = 0; part < parts; ++part) starts[p][part][r] = -Kind.zero * codes[part];
        }
      }
      if constexpr (sums > 0) {
        for (int r = 0; r < all; ++r) {
          total[0][r] = total[0][r] * 255 + first[r];
          total[1][r] = total[1][r] * 255 + second[r];
        }
      }
      if constexpr (all_digits > 0) {
        for (int i = 0; i < all_digits; ++i) {
          const int r = i / Kind.minimums;
          std::int32_t codes = Kind.minimums == 2 ? (i % 2 == 0 ? first : second)[r] : first[r] + second[r];
          if constexpr (powers) codes = (sum_parts<Kind> * codes + (1 << halvings[r] >> 1)) >> halvings[r];
          const std::int32_t upper = (codes + 128) >> 8;
          digits[p][0][i] = static_cast<std::int8_t>(codes - 256 * upper);
          digits[p][1][i] = static_cast<std::int8_t>(upper);
        }
      }
    }
    if constexpr (sums > 0) {
      for (int r = 0; r < runs; ++r) {
        for (int m = 0; m < sums; ++m)
          sum[m][r] = scale[r] * static_cast<float>(sums == 2 ? total[m][r] : total[0][r] + total[1][r]);
      }
    }
  }
};

// Of tokens [first, last): `out` [panels][tokens].
template <class V, panel_kind Kind, int Planes>
void prepare(const activations& x, std::int64_t first, std::int64_t last, std::byte* out) noexcept {
  auto* of = reinterpret_cast<prologue<Kind, Planes>*>(out);
  for (std::int64_t panel = 0; panel < x.panels(); ++panel) {
    for (std::int64_t t = first; t < last; ++t) of[panel * x.tokens + t].template read<V>(x, panel, t);
  }
}

}  // namespace bq::cpu
