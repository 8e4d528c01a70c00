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
// Where d[r] is that of the panel times a power of two:
//
//   for each run r:   z = (power[r] * isum[r]) * scale[r] + z                 (fused; halves: z = power[r] * t + z)
//                     z = -minimum[r] * (power[r] * sum of the run's codes) + z
//   at the end:       y = z * d + y                                           (fused)
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

template <class V, int Tokens>
BQ_HD void prefetch_outputs(const outputs& y, int row) {
  for (int t = 0; t < Tokens; ++t) {
    for (int v = 0; v < V::tile; ++v) __builtin_prefetch(y.to + t * y.stride + row + v * V::lanes, 1);
  }
}
template <class V>
BQ_HD typename V::reals load_output(const outputs& y, int row, int t, int v) {
  return y.from ? V::load_reals(y.from + t * panel<V>::rows + row + v * V::lanes) : typename V::reals(0.0f);
}
// What a tile begins with, and how it ends: sums in units of the panel's scale are added at the end.
template <class V, panel_kind Kind, int Tokens>
BQ_HD void begin_outputs(const outputs& y, int row, typename V::reals (&sofar)[Tokens][V::tile]) {
#pragma GCC unroll 16
  for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 16
    for (int v = 0; v < V::tile; ++v) {
      if constexpr (Kind.scales == activation_scaling::powers)
        sofar[t][v] = typename V::reals(0.0f);
      else
        sofar[t][v] = load_output<V>(y, row, t, v);
    }
  }
}
template <class V, panel_kind Kind, int Tokens, int Planes>
BQ_HD void end_outputs(const outputs& y, int row, const prologue<Kind, Planes>* of,
                       const typename V::reals (&sofar)[Tokens][V::tile]) {
#pragma GCC unroll 16
  for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 16
    for (int v = 0; v < V::tile; ++v) {
      typename V::reals sum = sofar[t][v];
      if constexpr (Kind.scales == activation_scaling::powers)
        sum = V::fma(sum, typename V::reals(of[t].d[0]), load_output<V>(y, row, t, v));
      V::store(y.to + t * y.stride + row + v * V::lanes, sum);
    }
  }
}

// y + isum, of a run or of its halves, scaled.
template <class V, panel_kind Kind, int Planes, int Parts>
BQ_HD typename V::reals add_scaled(const prologue<Kind, Planes>& of, int r, const typename V::reals (&isum)[Parts],
                                   const typename V::reals (&scale)[Parts], typename V::reals y) {
  using reals = typename V::reals;
  constexpr bool powers = Kind.scales == activation_scaling::powers;
  if constexpr (powers && Parts == 1) {
    return V::fma(times_power<V>(isum[0], of.power[r]), scale[0], y);
  } else {
    reals total = isum[0] * scale[0];
    if constexpr (Parts == 2) total = V::fma(isum[1], scale[1], total);
    if constexpr (powers)
      return y + times_power<V>(total, of.power[r]);
    else
      return V::fma(total, reals(of.d[r]), y);
  }
}

// y + what run r contributes to rows [row, row + V::lanes): isum, of the run or of its halves, scaled, and the
// minimums. `of`: the token's.
template <class V, panel_kind Kind, int Planes, int Parts>
BQ_HD typename V::reals add_run(const panel<V>& w, int row, const prologue<Kind, Planes>& of, int r,
                                const typename V::reals (&isum)[Parts], typename V::reals y) {
  using reals = typename V::reals;
  constexpr int height = panel<V>::rows;
  reals scale[Parts];
#pragma GCC unroll 2
  for (int part = 0; part < Parts; ++part) scale[part] = V::load_reals(w.scale + (r * Parts + part) * height + row);
  y = add_scaled<V>(of, r, isum, scale, y);
  if constexpr (!Kind.wide()) {
#pragma GCC unroll 2
    for (int m = 0; m < Kind.minimums; ++m) {
      const reals minimum = V::load_reals(w.minimum + (r * Kind.minimums + m) * height + row);
      y = V::fnma(minimum, reals(of.sum[m][r]), y);
    }
  }
  return y;
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

  prefetch_outputs<V, Tokens>(y, row);
  reals sofar[Tokens][vectors];
  begin_outputs<V, Kind>(y, row, sofar);
  for (int r = 0; r < runs; ++r) {
    if constexpr (Kind.wide() && Kind.minimums > 0) {
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
        sofar[t][v] = add_run(w, row + v * lanes, of[t], r, part_sum, sofar[t][v]);
      }
    }
  }
  end_outputs<V>(y, row, of, sofar);
}

}  // namespace bq::cpu
