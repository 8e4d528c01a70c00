// Quantises activations (activations.hpp), a panel of one token at a time: the runs' largest values, turned so that
// lanes are runs; their scales, in vectors; then the codes run by run, and their sums, turned as well.
#pragma once
#include "activations.hpp"
#include "int8_scale.hpp"

namespace bq::cpu {

// Of one plane's codes in each run's two halves, lane by lane.
template <class V>
struct half_sums {
  typename V::ints of[2][activations::panel_runs];

  BQ_HD void take(int r, const typename V::ints* codes) {
    constexpr int half = run / 2 / V::lanes;
    for (int h = 0; h < 2; ++h) {
      of[h][r] = codes[h * half];
      for (int i = 1; i < half; ++i) of[h][r] = of[h][r] + codes[h * half + i];
    }
  }
  BQ_HD void store(std::int32_t* to) const {
    for (int h = 0; h < 2; ++h) {
      for (int r = 0; r < activations::panel_runs; r += V::lanes, to += V::lanes) {
        const auto sums = V::across(of[h] + r, [](auto a, auto b) { return a + b; });
        V::store(reinterpret_cast<unsigned char*>(to), std::bit_cast<typename V::words>(sums));
      }
    }
  }
};

// The codes of run r, in as many planes as they need, to `planes`, a panel's columns apart.
template <class V, int Planes>
BQ_HD void store_run(typename V::ints* codes, int r, std::int8_t* planes, half_sums<V>* sums) {
  constexpr int vectors = run / V::lanes;
  if constexpr (Planes == 2) {
    typename V::ints high[vectors];
    for (int v = 0; v < vectors; ++v) {
      high[v] = V::round(V::to_reals(codes[v]) * typename V::reals(1.0f / 255.0f));
      codes[v] = codes[v] - ((high[v] << 8) - high[v]);
    }
    V::store_bytes(planes + r * run, high);
    sums[0].take(r, high);
  }
  V::store_bytes(planes + (Planes - 1) * panel_cols + r * run, codes);
  sums[Planes - 1].take(r, codes);
}

template <class V, int Planes>
BQ_HD void quantize_panel(const float* x, std::int64_t panel, std::int64_t token, const activations& out) {
  using words = typename V::words;
  using ints = typename V::ints;
  using reals = typename V::reals;
  constexpr int runs = activations::panel_runs, vectors = run / V::lanes;
  constexpr float limit = Planes == 2 ? 127.0f * 256.0f : 127.0f;
  constexpr std::uint32_t infinity = 0x7f800000;
  static constexpr float zeros[run] = {};

  const float* from[runs];
  const int here = static_cast<int>(std::min<std::int64_t>(out.cols / run - panel * runs, runs));
  for (int r = 0; r < runs; ++r) from[r] = r < here ? x + r * run : zeros;

  alignas(64) std::uint32_t top[runs];  // as bits: NaN is larger than everything
  alignas(64) float inverse[runs];
  for (int r = 0; r < runs; r += V::lanes) {
    words largest[V::lanes];
    for (int i = 0; i < V::lanes; ++i) {
      largest[i] = words(0u);
      for (int v = 0; v < vectors; ++v) {
        const words bits = V::as_words(V::load_reals(from[r + i] + v * V::lanes)) & 0x7fffffffu;
        largest[i] = V::max(largest[i], bits);
      }
    }
    const words tops = V::across(largest, [](auto a, auto b) { return V::max(a, b); });
    V::store(reinterpret_cast<unsigned char*>(top + r), tops);
  }
  if (out.scales == activation_scaling::shared) {
    for (int first = 0; first < runs; first += wide_run / run) {
      const std::uint32_t shared = *std::max_element(top + first, top + first + wide_run / run);
      std::fill_n(top + first, wide_run / run, shared);
    }
  } else if (out.scales == activation_scaling::powers) {
    const std::uint32_t largest = *std::max_element(top, top + runs);
    for (std::uint32_t& t : top) {
      const std::uint32_t halvings = std::min((largest - t) >> 23, 15u);  // of numbers as bits: rounded down
      t = largest < infinity ? largest - (halvings << 23) : largest;
    }
  }
  for (int r = 0; r < runs; r += V::lanes) {
    const int8_scale<V> scale(V::load32(reinterpret_cast<const unsigned char*>(top + r)), limit);
    V::store(out.d_of(panel, token) + r, scale.d);
    V::store(inverse + r, scale.inverse);
  }

  half_sums<V> sums[Planes];
  std::int8_t* const planes = out.codes_of(panel, token, 0);
  for (int r = 0; r < runs; ++r) {
    const float* source = top[r] < infinity ? from[r] : zeros;
    ints codes[vectors];
    for (int v = 0; v < vectors; ++v) codes[v] = V::round(V::load_reals(source + v * V::lanes) * reals(inverse[r]));
    store_run<V, Planes>(codes, r, planes, sums);
  }
  for (int p = 0; p < Planes; ++p) sums[p].store(out.sums_of(panel, token, p));
}

// Tokens [first, last) of x [tokens][stride >= cols] into the same tokens of `out`.
template <class V>
void quantize_activations(const float* x, std::int64_t stride, std::int64_t first, std::int64_t last,
                          const activations& out) noexcept {
  for (std::int64_t token = first; token < last; ++token) {
    for (std::int64_t panel = 0; panel < out.panels(); ++panel) {
      const float* from = x + token * stride + panel * panel_cols;
      for (int i = 0; i < panel_cols; i += 16) __builtin_prefetch(from + panel_cols + i);
      if (out.planes == 2)
        quantize_panel<V, 2>(from, panel, token, out);
      else
        quantize_panel<V, 1>(from, panel, token, out);
    }
  }
}

}  // namespace bq::cpu
