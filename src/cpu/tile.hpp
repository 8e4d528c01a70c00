// The products of a panel with quantised activations, for all formats: int8 dot products over runs of 32 columns
// (256 in the fast tier), summed over runs in f32. For one output, in this order, on every instruction set and whatever
// the tile it falls into:
//
//   for each run r:   t = scale[r] * isum[r]                                  (halves: t = scale1 * isum1 + t, fused)
//                     y = t * d[r] + y                                        (fused)
//                     y = -minimum[r] * (d[r] * sum of the run's codes) + y   (fused; for each half where there are
//                     two)
//   where minimums are bytes, before the runs of 256 columns instead:
//                     y = -(dmin * msum) * d[r] + y                           (fused), msum: of minimum byte * sum of
//                     codes, over all groups
//
// Where d[r] is that of the panel times a power of two:
//
//   for each run r:   z = (power[r] * isum[r]) * scale[r] + z                 (fused; halves: z = power[r] * t + z)
//                     z = -minimum[r] * (power[r] * sum of the run's codes) + z
//                     z = -dmin / 8 * msum + z                                (fused), msum: of minimum byte * (8 *
//                     power[r] * sum of codes, rounded)
//   at the end:       y = z * d + y                                           (fused)
//
// Integer sums are exact, so results depend neither on the instruction set nor on how tokens are divided into tiles.
#pragma once
#include <type_traits>

#include "prologue.hpp"

namespace bq::cpu {

// A band's outputs: what has been summed so far, [tokens][from_stride] or null for nothing, and where to put it.
struct outputs {
  const float* from;
  float* to;
  std::int64_t from_stride, stride;  // floats from one token to the next

  // Those of the tokens from this one on; of the rows from this one on.
  outputs after(std::int64_t tokens) const {
    return {from ? from + tokens * from_stride : nullptr, to + tokens * stride, from_stride, stride};
  }
  outputs below(int rows) const { return {from ? from + rows : nullptr, to + rows, from_stride, stride}; }
};

// y less minimums: total, of bytes times sums of activations in block `block` of the token's panel, times their scale.
template <class V, panel_kind Kind, int Planes>
BQ_HD typename V::reals less_minimums(typename V::ints total, typename V::reals scale, const prologue<Kind, Planes>& of,
                                      int block, typename V::reals y) {
  if constexpr (Kind.scales == activation_scaling::powers)
    return V::fnma(V::to_reals(total), scale, y);
  else
    return V::fnma(V::to_reals(total) * scale, typename V::reals(of.d[block * (wide_run / Kind.columns)]), y);
}

// Minimums that are bytes, of a band's rows and 256 columns.
template <class V, panel_kind Kind>
BQ_HD const unsigned char* minimum_codes(const panel_band<V>& w, int block) {
  return w.minimum_codes + block * minimum_words<Kind> * panel_band<V>::rows * 4;
}

// Where minimums are bytes, in block `block` of 256 columns: y(t, v) less them. bytes(i, v): minimums of groups 4i to
// 4i + 3; scale(v): theirs; of(t): the token's prologue.
template <class V, panel_kind Kind, int Planes, int Tokens, int Vectors, class Bytes, class Scale, class Of, class Y>
BQ_HD void subtract_minimums(const Bytes& bytes, const Scale& scale, const Of& of, int block, const Y& y) {
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
    for (int i = 0; i < minimum_words<Kind>; ++i) {
      typename V::words four[Vectors];
#pragma GCC unroll 16
      for (int v = 0; v < Vectors; ++v) four[v] = bytes(i, v);
#pragma GCC unroll 2
      for (int p = 0; p < Planes; ++p) {
#pragma GCC unroll 16
        for (int t = 0; t < Tokens; ++t) {
          const auto sums = V::broadcast(of(t).digits[p][digit] + 4 * (block * minimum_words<Kind> + i));
#pragma GCC unroll 16
          for (int v = 0; v < Vectors; ++v) {
            if (digit == 0 && i == 0) sum[p][t][v] = sum[p][t][v] << 8;
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
      y(t, v) = less_minimums<V>(total, scale(v), of(t), block, y(t, v));
    }
  }
}

template <class V, int Tokens>
BQ_HD void prefetch_outputs(const outputs& y) {
  for (int t = 0; t < Tokens; ++t) {
    for (int v = 0; v < V::tile; ++v) __builtin_prefetch(y.to + t * y.stride + v * V::lanes, 1);
  }
}
// Asks for what the tile after the next one reads of the activations: a share of it at every 32 columns, as a tile's
// tokens are too short a stream for the hardware's prefetchers. codes and of: this tile's; i: of how many 32 columns.
// (Not by way of a lambda: GCC takes a function of nothing but prefetches for one without effects, and drops calls that
// it has not inlined.)
template <int Tokens, panel_kind Kind, int Planes>
BQ_HD void prefetch_activations(const std::int8_t* codes, const prologue<Kind, Planes>* of, int i) {
  constexpr int ahead = 2 * Tokens, all = panel_cols / run, code_bytes = Tokens * Planes * run;
  constexpr int other_bytes = (Tokens * static_cast<int>(sizeof *of) + all - 1) / all;
  const std::int8_t* const next = codes + ahead * Planes * panel_cols + i * code_bytes;
  const char* const others = reinterpret_cast<const char*>(of + ahead) + i * other_bytes;
  for (int at = 0; at < code_bytes; at += 64) __builtin_prefetch(next + at, 0, 2);
  for (int at = 0; at < other_bytes; at += 64) __builtin_prefetch(others + at, 0, 2);
}
template <class V>
BQ_HD typename V::reals load_output(const outputs& y, int t, int v) {
  return y.from ? V::load_reals(y.from + t * y.from_stride + v * V::lanes) : typename V::reals(0.0f);
}
// What a tile begins with, and how it ends: sums in units of the panel's scale are added at the end.
template <class V, panel_kind Kind, int Tokens>
BQ_HD void begin_outputs(const outputs& y, typename V::reals (&sofar)[Tokens][V::tile]) {
#pragma GCC unroll 16
  for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 16
    for (int v = 0; v < V::tile; ++v) {
      if constexpr (Kind.scales == activation_scaling::powers)
        sofar[t][v] = typename V::reals(0.0f);
      else
        sofar[t][v] = load_output<V>(y, t, v);
    }
  }
}
template <class V, panel_kind Kind, int Tokens, int Planes>
BQ_HD void end_outputs(const outputs& y, const prologue<Kind, Planes>* of,
                       const typename V::reals (&sofar)[Tokens][V::tile]) {
#pragma GCC unroll 16
  for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 16
    for (int v = 0; v < V::tile; ++v) {
      typename V::reals sum = sofar[t][v];
      if constexpr (Kind.scales == activation_scaling::powers)
        sum = V::fma(sum, typename V::reals(of[t].d[0]), load_output<V>(y, t, v));
      V::store(y.to + t * y.stride + v * V::lanes, sum);
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
BQ_HD typename V::reals add_run(const panel_band<V>& w, int row, const prologue<Kind, Planes>& of, int r,
                                const typename V::reals (&isum)[Parts], typename V::reals y) {
  using reals = typename V::reals;
  constexpr int height = panel_band<V>::rows;
  reals scale[Parts];
#pragma GCC unroll 2
  for (int part = 0; part < Parts; ++part) scale[part] = V::load_reals(w.scale + (r * Parts + part) * height + row);
  y = add_scaled<V>(of, r, isum, scale, y);
  if constexpr (!Kind.minimum_bytes) {
#pragma GCC unroll 2
    for (int m = 0; m < Kind.minimums; ++m) {
      const reals minimum = V::load_reals(w.minimum + (r * Kind.minimums + m) * height + row);
      y = V::fnma(minimum, reals(of.sum[m][r]), y);
    }
  }
  return y;
}

// `Tokens` tokens x a band x the first `runs` runs of a panel. codes, of and y: of the first token; y: of the band's
// first row.
template <class V, panel_kind Kind, int Tokens, int Planes>
BQ_HD void tile(const panel_band<V>& w, const std::int8_t* codes, const prologue<Kind, Planes>* of, int runs,
                outputs y) {
  using ints = typename V::ints;
  using words = typename V::words;
  using reals = typename V::reals;
  constexpr int vectors = V::tile, lanes = V::lanes, height = panel_band<V>::rows;
  constexpr int parts = Kind.scale_halves ? 2 : 1;
  constexpr int run_words = Kind.columns / 4, part_words = run_words / parts;

  prefetch_outputs<V, Tokens>(y);
  reals sofar[Tokens][vectors];
  begin_outputs<V, Kind>(y, sofar);
  for (int r = 0; r < runs; ++r) {
    for (int i = r * (Kind.columns / run); i < (r + 1) * (Kind.columns / run); ++i)
      prefetch_activations<Tokens>(codes, of, i);
    if constexpr (Kind.minimum_bytes) {
      const int block = r * Kind.columns / wide_run;
      if (r * Kind.columns % wide_run == 0) {
        subtract_minimums<V, Kind, Planes, Tokens, vectors>(
            [&](int i, int v) { return V::load32(minimum_codes<V, Kind>(w, block) + (i * height + v * lanes) * 4); },
            [&](int v) { return V::load_reals(w.minimum + block * height + v * lanes); },
            [&](int t) -> const auto& { return of[t]; }, block, [&](int t, int v) -> reals& { return sofar[t][v]; });
      }
    }
    ints sum[parts][Planes][Tokens][vectors];
#pragma GCC unroll 16
    for (int part = 0; part < parts; ++part) {
#pragma GCC unroll 16
      for (int p = 0; p < Planes; ++p) {
#pragma GCC unroll 16
        for (int t = 0; t < Tokens; ++t) {
          const ints start(of[t].start(p, part, r));
#pragma GCC unroll 16
          for (int v = 0; v < vectors; ++v) sum[part][p][t][v] = start;
        }
      }
#pragma GCC unroll 16
      for (int j = 0; j < part_words; ++j) {
        const int word = r * run_words + part * part_words + j;
        words weights[vectors];
#pragma GCC unroll 16
        for (int v = 0; v < vectors; ++v) weights[v] = V::load32(w.codes + (word * height + v * lanes) * 4);
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
        sofar[t][v] = add_run(w, v * lanes, of[t], r, part_sum, sofar[t][v]);
      }
    }
  }
  end_outputs<V>(y, of, sofar);
}

}  // namespace bq::cpu
