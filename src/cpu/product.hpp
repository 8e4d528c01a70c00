// The products of a panel with quantised activations, for all formats: int8 dot products over runs of 32 columns
// (256 in the fast tier), summed over runs in f32. For one output, in this order, on every instruction set and whatever
// the tile it falls into:
//
//   for each run r:   t = scale[r] * isum[r]                                  (halves: t = scale1 * isum1 + t, fused)
//                     y = t * d[r] + y                                        (fused)
//                     y = -minimum[r] * (d[r] * sum of the run's codes) + y   (fused; for each half where there are
//                     two)
//   in wide kinds, before that:
//                     y = -(dmin[r] * msum[r]) * d[r] + y                     (fused), msum: of minimum byte * sum of
//                     codes, over the run's groups
//
// Integer sums are exact, so results depend neither on the instruction set nor on how tokens are divided into tiles.
#pragma once
#include <type_traits>

#include "prologue.hpp"

namespace bq::cpu {

// A strip's outputs: what has been summed so far, [tokens][a strip's rows] or null for nothing, and where to put it.
struct outputs {
  const float* from;
  float* to;
  std::int64_t stride;  // floats from one token to the next
};

// Of wide kinds, in 256 columns: y(t, v) = -(dmin(v) * msum) * d + y(t, v). bytes(i, v): minimums of groups 4i to 4i +
// 3; of(t): the token's prologue; r: the run, `group` the first group in the prologue's panel.
template <class V, int Planes, int Tokens, int Vectors, class Bytes, class Dmin, class Of, class Y>
BQ_HD void subtract_minimums(const Bytes& bytes, const Dmin& dmin, const Of& of, int r, int group, const Y& y) {
  using ints = typename V::ints;
  ints sum[Planes][Tokens][Vectors];
#pragma GCC unroll 2
  for (int p = 0; p < Planes; ++p) {
#pragma GCC unroll 16
    for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 16
      for (int v = 0; v < Vectors; ++v) sum[p][t][v] = ints(0);
    }
  }
#pragma GCC unroll 2
  for (int digit = 1; digit >= 0; --digit) {
#pragma GCC unroll 4
    for (int i = 0; i < wide_run / 16 / 4; ++i) {
      typename V::words four[Vectors];
#pragma GCC unroll 16
      for (int v = 0; v < Vectors; ++v) four[v] = bytes(i, v);
#pragma GCC unroll 2
      for (int p = 0; p < Planes; ++p) {
#pragma GCC unroll 16
        for (int t = 0; t < Tokens; ++t) {
          const auto sums = V::broadcast(of(t).digits[p][digit] + group + 4 * i);
#pragma GCC unroll 16
          for (int v = 0; v < Vectors; ++v) {
            if (digit == 0 && i == 0) sum[p][t][v] = sum[p][t][v] << 6;
            sum[p][t][v] = V::template dot<V::template unsigned_weights<6>>(sum[p][t][v], four[v], sums);
          }
        }
      }
    }
  }
#pragma GCC unroll 16
  for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 16
    for (int v = 0; v < Vectors; ++v) {
      ints total = sum[0][t][v];
      if constexpr (Planes == 2) total = (total << 8) - total + sum[1][t][v];
      y(t, v) = V::fnma(V::to_reals(total) * dmin(v), typename V::reals(of(t).d[r]), y(t, v));
    }
  }
}

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

  const auto codes_of = [&](int t, int p) {
    if constexpr (Kind.wide)
      return of[t].codes[p];
    else
      return codes + (t * Planes + p) * panel_cols;
  };
  for (int t = 0; t < Tokens; ++t) {
    for (int v = 0; v < vectors; ++v) __builtin_prefetch(y.to + t * y.stride + row + v * lanes, 1);
  }
  reals sofar[Tokens][vectors];
#pragma GCC unroll 16
  for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v)
      sofar[t][v] = y.from ? V::load_reals(y.from + t * height + row + v * lanes) : reals(0.0f);
  }
  for (int r = 0; r < runs; ++r) {
    if constexpr (Kind.wide && Kind.minimums > 0) {
      constexpr int words_of_block = wide_run / 16 / 4;
      subtract_minimums<V, Planes, Tokens, vectors>(
          [&](int i, int v) {
            return V::load32(w.minimum_codes + ((r * words_of_block + i) * height + row + v * lanes) * 4);
          },
          [&](int v) { return V::load_reals(w.minimum + r * height + row + v * lanes); },
          [&](int t) -> const auto& { return of[t]; }, r, r* words_of_block * 4,
          [&](int t, int v) -> reals& { return sofar[t][v]; });
    }
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
            const words four = V::broadcast(codes_of(t, p) + word * 4);
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
        if constexpr (!Kind.wide) {
#pragma GCC unroll 16
          for (int m = 0; m < Kind.minimums; ++m) {
            const reals minimum = V::load_reals(w.minimum + (r * Kind.minimums + m) * height + row + v * lanes);
            sofar[t][v] = V::fnma(minimum, reals(of[t].sum[m][r]), sofar[t][v]);
          }
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
