// The products of a panel with quantised activations, for all formats: int8 dot products over runs of 32 columns
// (256 in the fast tier), summed over runs in f32. For one output, in this order, on every instruction set and whatever
// the tile it falls into:
//
//   for each run r:   t = scale[r] * isum[r]                                  (halves: t = scale1 * isum1 + t, fused)
//                     y = t * d[r] + y                                        (fused)
//                     y = -minimum[r] * (d[r] * sum of the run's codes) + y   (fused; for each half where there are
//                     two)
//
// isum is exact, so results depend neither on the instruction set nor on how tokens are divided into tiles.
#pragma once
#include <type_traits>

#include "activations.hpp"
#include "panel.hpp"

namespace bq::cpu {

// What a product needs of one token in one panel, run by run, beside the codes. Here and below a run is Kind.columns
// wide.
template <panel_kind Kind, int Planes>
struct prologue {
  static constexpr int parts = Kind.scale_halves ? 2 : 1, runs = panel_cols / Kind.columns;
  alignas(64) float d[runs];
  alignas(64) std::int32_t start[Planes][parts][runs];      // -zero * sum: what integer sums begin with
  alignas(64) float sum[std::max(1, Kind.minimums)][runs];  // d * sum, of runs or of their halves

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

// Of tokens [first, last): `out` [panels][tokens].
template <panel_kind Kind, int Planes>
void prepare(const activations& x, std::int64_t first, std::int64_t last, std::byte* out) noexcept {
  auto* of = reinterpret_cast<prologue<Kind, Planes>*>(out);
  for (std::int64_t panel = 0; panel < x.panels(); ++panel) {
    for (std::int64_t t = first; t < last; ++t) of[panel * x.tokens + t].read(x, panel, t);
  }
}

// A strip's outputs: what has been summed so far, [tokens][a strip's rows] or null for nothing, and where to put it.
struct outputs {
  const float* from;
  float* to;
  std::int64_t stride;  // floats from one token to the next
};

// `Tokens` tokens x rows [row, row + a tile's height) x the first `runs` runs of a panel. codes, of and y: of the first
// token.
template <class V, panel_kind Kind, int Tokens, int Planes>
BQ_HD void tile(const panel<V>& w, int row, const std::int8_t* codes, const prologue<Kind, Planes>* of, int runs,
                outputs y) {
  using ints = typename V::ints;
  using words = typename V::words;
  using reals = typename V::reals;
  constexpr int vectors = V::tile, lanes = V::lanes, height = panel<V>::rows;
  constexpr int parts = Kind.scale_halves ? 2 : 1;
  constexpr int run_words = Kind.columns / 4, part_words = run_words / parts;

  reals sofar[Tokens][vectors];
#pragma GCC unroll 16
  for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v)
      sofar[t][v] = y.from ? V::load_reals(y.from + t * height + row + v * lanes) : reals(0.0f);
  }
  for (int r = 0; r < runs; ++r) {
    ints sum[parts][Planes][Tokens][vectors];
#pragma GCC unroll 16
    for (int part = 0; part < parts; ++part) {
#pragma GCC unroll 16
      for (int p = 0; p < Planes; ++p) {
#pragma GCC unroll 16
        for (int t = 0; t < Tokens; ++t) {
          const ints start(of[t].start[p][part][r]);
#pragma GCC unroll 16
          for (int v = 0; v < vectors; ++v) sum[part][p][t][v] = start;
        }
      }
#pragma GCC unroll 16
      for (int j = 0; j < part_words; ++j) {
        const int word = r * run_words + part * part_words + j;
        words weights[vectors];
#pragma GCC unroll 16
        for (int v = 0; v < vectors; ++v) weights[v] = V::load32(w.codes + (word * height + row + v * lanes) * 4);
#pragma GCC unroll 16
        for (int p = 0; p < Planes; ++p) {
#pragma GCC unroll 16
          for (int t = 0; t < Tokens; ++t) {
            const words four = V::broadcast(codes + (t * Planes + p) * panel_cols + word * 4);
#pragma GCC unroll 16
            for (int v = 0; v < vectors; ++v) {
              sum[part][p][t][v] = V::template dot<Kind.unsigned_bytes>(sum[part][p][t][v], weights[v], four);
            }
          }
        }
      }
    }
#pragma GCC unroll 16
    for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 16
      for (int v = 0; v < vectors; ++v) {
        reals part_sum[parts];
#pragma GCC unroll 16
        for (int part = 0; part < parts; ++part) {
          if constexpr (Planes == 2) {
            part_sum[part] = V::to_reals((sum[part][0][t][v] << 8) - sum[part][0][t][v] + sum[part][1][t][v]);
          } else {
            part_sum[part] = V::to_reals(sum[part][0][t][v]);
          }
        }
        const float* scale = w.scale + r * parts * height + row + v * lanes;
        reals total = part_sum[0] * V::load_reals(scale);
        if constexpr (parts == 2) total = V::fma(part_sum[1], V::load_reals(scale + height), total);
        sofar[t][v] = V::fma(total, reals(of[t].d[r]), sofar[t][v]);
#pragma GCC unroll 16
        for (int m = 0; m < Kind.minimums; ++m) {
          const reals minimum = V::load_reals(w.minimum + (r * Kind.minimums + m) * height + row + v * lanes);
          sofar[t][v] = V::fnma(minimum, reals(of[t].sum[m][r]), sofar[t][v]);
        }
      }
    }
  }
#pragma GCC unroll 16
  for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v) V::store(y.to + t * y.stride + row + v * lanes, sofar[t][v]);
  }
}

// `count` tokens with one panel: full tiles, then what is left one by one.
template <class V, panel_kind Kind, int Planes>
void product(const panel<V>& w, const std::int8_t* codes, const prologue<Kind, Planes>* of, std::int64_t count,
             int runs, outputs y) noexcept {
  constexpr int tokens = std::max(1, V::accumulators / V::tile / Planes / (Kind.scale_halves ? 2 : 1));
  const auto tiles = [&]<int Tokens>(std::integral_constant<int, Tokens>) {
    for (int row = 0; row < panel<V>::rows; row += V::tile * V::lanes)
      tile<V, Kind, Tokens, Planes>(w, row, codes, of, runs, y);
    codes += Tokens * Planes * panel_cols;
    of += Tokens;
    if (y.from) y.from += Tokens * panel<V>::rows;
    y.to += Tokens * y.stride;
  };
  std::int64_t t = 0;
  for (; t + tokens <= count; t += tokens) tiles(std::integral_constant<int, tokens>());
  for (; t < count; ++t) tiles(std::integral_constant<int, 1>());
}

}  // namespace bq::cpu
