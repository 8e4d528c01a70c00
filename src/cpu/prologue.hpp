// What a product needs of one token in one panel, made once for all strips of weights: the scales d of the activations'
// runs, what integer sums begin with, and the sums that meet the weights' minimums. A run is Kind.columns wide.
//
// Wide kinds (panel.hpp) take activations with one scale for 256 columns. They are rounded a second time here, from
// the codes that narrow kinds take: code = old code * old d / d to nearest even, d being the largest of the eight.
#pragma once
#include <cstring>

#include "quantize_activations.hpp"

namespace bq::cpu {

template <panel_kind Kind, int Planes>
struct prologue {
  static constexpr int parts = Kind.scale_halves ? 2 : 1, runs = panel_cols / Kind.columns;
  alignas(64) float d[runs];
  alignas(64) std::int32_t start[Planes][parts][runs];      // -zero * sum
  alignas(64) float sum[std::max(1, Kind.minimums)][runs];  // d * sum, of runs or of their halves

  template <class V>
  BQ_HD void read(const activations& x, std::int64_t panel, std::int64_t token) {
    constexpr int pieces = Kind.columns / run;
    static_assert(pieces == 1 || (parts == 1 && Kind.minimums == 0));
    const float* scale = x.d_of(panel, token);
    std::int32_t total[2][runs] = {};
    for (int p = 0; p < Planes; ++p) {
      const std::int32_t *first = x.sums_of(panel, token, p), *second = first + activations::panel_runs;
      for (int r = 0; r < runs; ++r) {
        if constexpr (pieces > 1) {
          start[p][0][r] = 0;
          for (int i = r * pieces; i < (r + 1) * pieces; ++i) start[p][0][r] -= Kind.zero * (first[i] + second[i]);
        } else {
          start[p][0][r] = -Kind.zero * (parts == 2 ? first[r] : first[r] + second[r]);
          if constexpr (parts == 2) start[p][1][r] = -Kind.zero * second[r];
          total[0][r] = total[0][r] * 255 + first[r];
          total[1][r] = total[1][r] * 255 + second[r];
        }
      }
    }
    for (int r = 0; r < runs; ++r) d[r] = scale[r * pieces];
    for (int m = 0; m < Kind.minimums; ++m) {
      for (int r = 0; r < runs; ++r) {
        sum[m][r] = scale[r] * static_cast<float>(Kind.minimums == 2 ? total[m][r] : total[0][r] + total[1][r]);
      }
    }
  }
};

template <panel_kind Kind, int Planes>
requires(Kind.wide) struct prologue<Kind, Planes> {
  static constexpr int parts = Kind.scale_halves ? 2 : 1, runs = panel_cols / Kind.columns;
  static_assert(Kind.minimums == 0 || Kind.minimums == 2);
  alignas(64) std::int8_t codes[Planes][panel_cols];
  // The sums of the halves of 32 columns are 64 * second + first digit: bytes, for dot products with minimums.
  alignas(64) std::int8_t digits[Planes][2][std::max(1, Kind.minimums* activations::panel_runs)];
  float d[runs];
  std::int32_t start[Planes][parts][runs];

  template <class V>
  BQ_HD void read(const activations& x, std::int64_t panel, std::int64_t token) {
    constexpr int all = activations::panel_runs, vectors = run / V::lanes;
    const float* given = x.d_of(panel, token);
    float shared[all], ratio[all];
    for (int r = 0; r < all; r += wide_run / run) {
      std::uint32_t top = 0;  // as bits: NaN is larger than everything
      for (int i = 0; i < wide_run / run; ++i) top = std::max(top, std::bit_cast<std::uint32_t>(given[r + i]));
      for (int i = 0; i < wide_run / run; ++i) shared[r + i] = std::bit_cast<float>(top);
    }
    for (int r = 0; r < all; ++r) ratio[r] = shared[r] > 0.0f ? given[r] / shared[r] : 0.0f;
    for (int r = 0; r < runs; ++r) d[r] = shared[r * Kind.columns / run];

    half_sums<V> sums[Planes];
    for (int r = 0; r < all; ++r) {
      typename V::ints code[vectors];
      for (int v = 0; v < vectors; ++v) {
        const auto old = [&](int plane) {
          const std::int8_t* from = x.codes_of(panel, token, plane) + r * run + v * V::lanes;
          return V::signed_byte_to_ints(V::load8(reinterpret_cast<const unsigned char*>(from)), 0);
        };
        code[v] = old(0);
        if constexpr (Planes == 2) code[v] = (code[v] << 8) - code[v] + old(1);
        code[v] = V::round(V::to_reals(code[v]) * typename V::reals(ratio[r]));
      }
      store_run<V, Planes>(code, r, codes[0], sums);
    }
    for (int p = 0; p < Planes; ++p) {
      std::int32_t sum[2][all];
      sums[p].store(sum[0]);
      if constexpr (Kind.minimums > 0) {
        std::uint16_t first[all], second[all];  // of both halves of a run
        for (int r = 0; r < all; ++r) {
          first[r] = static_cast<std::uint16_t>((sum[0][r] & 63) | (sum[1][r] & 63) << 8);
          second[r] = static_cast<std::uint16_t>((sum[0][r] >> 6 & 255) | (sum[1][r] >> 6 & 255) << 8);
        }
        memcpy(digits[p][0], first, sizeof first);
        memcpy(digits[p][1], second, sizeof second);
      }
      if constexpr (parts == 1) {
        for (int r = 0; r < all; ++r) sum[0][r] += sum[1][r];
      }
      for (int part = 0; part < parts; ++part) {
        for (int r = 0; r < runs; ++r) {
          std::int32_t total = 0;
          for (int i = 0; i < Kind.columns / run; ++i) total += sum[part][r * (Kind.columns / run) + i];
          start[p][part][r] = -Kind.zero * total;
        }
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
