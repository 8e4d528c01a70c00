// The products of a few tokens: blocks of V::lanes rows are interleaved (row_source.hpp), unless they are already, and
// go into the dot product as they are unpacked, without a panel. The sums and their order are those of
// src/cpu/tile.hpp, so the results are too: where a panel holds scale * code, here the integer sum of each group is
// multiplied by its scale.
#pragma once
#include "tile.hpp"

namespace bq::cpu {

// How far ahead of interleaved weights prefetches run.
inline constexpr int prefetch_distance = 8192;

// Asks for the lines from p to `end`, and for those so far `apart` from them in other groups; returns the first beyond
// them. The hardware's prefetcher knows a stream by the address of the instruction that reads it, and a kernel reads by
// hundreds of them: so that it keeps up with the memory, all lines are asked for by this one, in order, a few at a time
// between the arithmetic. Internal and const: callers keep their registers, and what they have loaded.
template <int Groups>
[[gnu::noinline, gnu::const]] static const unsigned char* prefetch_until(const unsigned char* p,
                                                                         const unsigned char* end,
                                                                         std::int64_t apart) noexcept {
#pragma GCC unroll 1
  for (; p < end; p += 64) {
#pragma GCC unroll 2
    for (int g = 0; g < Groups; ++g) __builtin_prefetch(p + g * apart);
  }
  return p;
}

// Groups of rows that pass by together. A dot product takes a broadcast of activations from the first-level cache,
// which is no faster than the multiplications: a second group uses it again. Large formats wait for memory, which
// prefers one stream, and codes of two planes with scales of their own leave no registers.
template <class V, coded_format F, int Tokens>
inline constexpr int matvec_groups = [] {
  constexpr bool light = F::block_size == run ? sizeof(typename F::block) <= 24 : F::code_bits == 2;
  return Tokens > 1 && V::accumulators >= 16 && light ? 2 : 1;
}();

// Groups of V::lanes rows and `Tokens` tokens, while the columns pass by.
template <class V, coded_format F, int Tokens, int Planes>
class matvec_lanes {
  using ints = typename V::ints;
  using words = typename V::words;
  using reals = typename V::reals;
  static constexpr panel_kind kind = in_planes(code_traits<V, F>::kind, Planes);
  static constexpr bool powers = kind.scales == activation_scaling::powers;
  static constexpr int parts = kind.scale_halves ? 2 : 1, part_words = run / 4 / parts;
  static constexpr int own_minimums = kind.minimum_bytes ? 0 : kind.minimums;  // of a run
  static constexpr int block_runs = F::block_size / run, groups = matvec_groups<V, F, Tokens>;

 public:
  BQ_HD matvec_lanes() {
    for (auto& of_token : y_) std::fill_n(of_token, groups, reals(0.0f));
  }

  // The stretch of panel_cols columns that comes next, and what is to be prefetched meanwhile: as much for each group,
  // `apart` bytes from one to the next.
  BQ_HD void stretch(const activations& x, const prologue<kind, Planes>* of, std::int64_t panel,
                     const unsigned char* ahead, std::int64_t apart) {
    next_ = ahead_ = ahead;
    apart_ = apart;
    for (std::int64_t t = 0; t < Tokens; ++t) {
      const std::int64_t token = std::min(t, x.tokens - 1);
      of_[t] = of + panel * x.tokens + token;
      codes_[t] = x.codes_of(panel, token, 0);
      if constexpr (powers) std::fill_n(panel_sum_[t], groups, reals(0.0f));
    }
  }
  BQ_HD void end_stretch() {
    if constexpr (powers) {
      for (int t = 0; t < Tokens; ++t) {
        for (int g = 0; g < groups; ++g) y_[t][g] = V::fma(panel_sum_[t][g], reals(of_[t]->d[0]), y_[t][g]);
      }
    }
  }

  // Block b of the stretch: s[g], of group g.
  template <class S>
  BQ_HD void block(const std::array<S, groups>& s, int b) {
    if constexpr (kind.minimum_bytes) subtract_block_minimums(s, b);
    if constexpr (kind.wide()) {
      add_wide_block(s, b);
    } else {
#pragma GCC unroll 8
      for (int i = 0; i < block_runs; ++i) add_run(s, i, b * block_runs + i);
    }
  }

  BQ_HD reals y(int t, int g) const { return y_[t][g]; }

 private:
  // What belongs to the first `runs` runs of the stretch.
  BQ_HD void prefetch(int runs) {
    constexpr int bytes = V::lanes * sizeof(typename F::block);
    next_ = prefetch_until<groups>(next_, ahead_ + runs * bytes / block_runs, apart_);
    asm volatile("" : "+r"(next_));  // here, and not where the result is used
  }

  // Run i of the block, run r of the stretch: its parts' integer sums, f(part, token, group, sum).
  template <class S, class Each>
  BQ_HD void sums_of_run(const std::array<S, groups>& s, int i, int r, const Each& f) {
    prefetch(r + 1);
    ints sum[parts][Planes][Tokens][groups];
#pragma GCC unroll 8
    for (int part = 0; part < parts; ++part) {
#pragma GCC unroll 2
      for (int p = 0; p < Planes; ++p) {
#pragma GCC unroll 8
        for (int t = 0; t < Tokens; ++t) {
          const ints start(of_[t]->start(p, part, r));
#pragma GCC unroll 2
          for (int g = 0; g < groups; ++g) sum[part][p][t][g] = start;
        }
      }
#pragma GCC unroll 8
      for (int j = 0; j < part_words; ++j) {
        const int word = part * part_words + j;
        words weights[groups];
#pragma GCC unroll 2
        for (int g = 0; g < groups; ++g) weights[g] = product_codes<V, F>(s[g], i * (run / 4) + word);
#pragma GCC unroll 2
        for (int p = 0; p < Planes; ++p) {
#pragma GCC unroll 8
          for (int t = 0; t < Tokens; ++t) {
            const words four = V::broadcast(codes_[t] + p * panel_cols + r * run + 4 * word);
#pragma GCC unroll 2
            for (int g = 0; g < groups; ++g)
              sum[part][p][t][g] = V::template dot<kind.unsigned_bytes>(sum[part][p][t][g], weights[g], four);
          }
        }
      }
    }
#pragma GCC unroll 8
    for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 2
      for (int g = 0; g < groups; ++g) {
#pragma GCC unroll 8
        for (int part = 0; part < parts; ++part) {
          ints total = sum[part][0][t][g];
          if constexpr (Planes == 2) total = (total << 8) - total + sum[part][1][t][g];
          f(part, t, g, total);
        }
      }
    }
  }

  template <class S>
  BQ_HD void add_run(const std::array<S, groups>& s, int i, int r) {
    reals scales[groups][parts], minimums[groups][std::max(1, own_minimums)], sums[Tokens][groups][parts];
#pragma GCC unroll 2
    for (int g = 0; g < groups; ++g) {
#pragma GCC unroll 8
      for (int part = 0; part < parts; ++part) scales[g][part] = group_scale<F>(s[g], parts * i + part);
#pragma GCC unroll 8
      for (int m = 0; m < own_minimums; ++m) minimums[g][m] = group_min<F>(s[g], kind.minimums * i + m);
    }
    sums_of_run(s, i, r, [&](int part, int t, int g, ints total) { sums[t][g][part] = V::to_reals(total); });
#pragma GCC unroll 8
    for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 2
      for (int g = 0; g < groups; ++g) {
        reals& y = (powers ? panel_sum_ : y_)[t][g];
        y = add_scaled<V>(*of_[t], r, sums[t][g], scales[g], y);
#pragma GCC unroll 8
        for (int m = 0; m < own_minimums; ++m) y = V::fnma(minimums[g][m], reals(of_[t]->sum[m][r]), y);
      }
    }
  }

  template <class S>
  BQ_HD void subtract_block_minimums(const std::array<S, groups>& s, int b) {
    const auto bytes = [&](int i, int g) { return F::mins(s[g], i); };
    const auto scale = [&](int g) { return minimum_scale<kind, F>(s[g]); };
    const auto of = [&](int t) -> const prologue<kind, Planes>& { return *of_[t]; };
    const auto y = [&](int t, int g) -> reals& { return (powers ? panel_sum_ : y_)[t][g]; };
    subtract_minimums<V, kind, Planes, Tokens, groups>(bytes, scale, of, b, y);
  }

  template <class S>
  BQ_HD void add_wide_block(const std::array<S, groups>& s, int b) {
    ints total[Tokens][groups];
#pragma GCC unroll 8
    for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 2
      for (int g = 0; g < groups; ++g) total[t][g] = ints(0);
    }
#pragma GCC unroll 8
    for (int i = 0; i < block_runs; ++i) {
      ints factors[parts][groups];
      if constexpr (panel_traits<V, F>::folded) {
#pragma GCC unroll 8
        for (int part = 0; part < parts; ++part) {
          const int scale = parts * i + part;
#pragma GCC unroll 2
          for (int g = 0; g < groups; ++g)
            factors[part][g] = V::signed_byte_to_ints(F::scales(s[g], scale / 4), scale % 4);
        }
      }
      sums_of_run(s, i, b * block_runs + i, [&](int part, int t, int g, ints sum) {
        if constexpr (panel_traits<V, F>::folded) sum = sum * factors[part][g];
        total[t][g] = total[t][g] + sum;
      });
    }
#pragma GCC unroll 8
    for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 2
      for (int g = 0; g < groups; ++g)
        y_[t][g] = V::fma(V::to_reals(total[t][g]) * F::d(s[g], 0), reals(of_[t]->d[b * block_runs]), y_[t][g]);
    }
  }

  reals y_[Tokens][groups], panel_sum_[Tokens][groups];
  const std::int8_t* codes_[Tokens];
  const prologue<kind, Planes>* of_[Tokens];
  const unsigned char *next_, *ahead_;
  std::int64_t apart_;
};

// `count` rows at w times the tokens of x, Tokens at most: y [tokens, stride].
template <class V, coded_format F, int Tokens, int Planes>
void matvec(const unsigned char* w, bool interleaved, std::int64_t row_bytes, std::int64_t count, const activations& x,
            const std::byte* prologues, float* y, std::int64_t stride) noexcept {
  const auto* of = reinterpret_cast<const prologue<in_planes(code_traits<V, F>::kind, Planes), Planes>*>(prologues);
  constexpr int lanes = V::lanes, bytes = sizeof(typename F::block), groups = matvec_groups<V, F, Tokens>;
  constexpr int rows_together = groups * lanes, stretch_bytes = panel_cols / F::block_size * bytes;
  const std::int64_t apart = interleaved ? (row_bytes + 3) / 4 * 4 : row_bytes, group_bytes = lanes * apart;
  alignas(64) unsigned char buffer[groups][(stretch_bytes + 3) / 4 * 4 * lanes];
  // What is prefetched: of interleaved groups some way ahead, of several whole stretches, which do not cross into the
  // next group; of separate rows the next ones in file order.
  constexpr std::int64_t stretch = stretch_bytes * lanes;
  constexpr std::int64_t distance =
      groups == 1 ? prefetch_distance : (prefetch_distance + stretch - 1) / stretch * stretch;
  const unsigned char* ahead = interleaved ? w : w + groups * group_bytes;
  std::int64_t offset = interleaved ? distance : 0;
  for (std::int64_t row = 0; row < count; row += rows_together) {
    const std::int64_t here = std::min<std::int64_t>(rows_together, count - row);
    const unsigned char* rows[rows_together];  // or groups; the last row, or the first group, stands in for others
    for (std::int64_t i = 0; i < rows_together; i += interleaved ? lanes : 1)
      rows[i] = w + (row + (i < here ? i : interleaved ? 0 : here - 1)) * apart;
    matvec_lanes<V, F, Tokens, Planes> sums;
    for (std::int64_t at = 0, panel = 0; at < row_bytes; at += stretch_bytes, ++panel) {
      const int blocks = static_cast<int>(std::min<std::int64_t>(stretch_bytes, row_bytes - at) / bytes);
      group_words<groups> words;
      for (int g = 0; g < groups; ++g)
        words[g] = words_of<V>(rows + g * lanes, interleaved, at, blocks * bytes, buffer[g]);
      for (; interleaved && offset >= group_bytes; offset -= group_bytes) ahead += groups * group_bytes;
      sums.stretch(x, of, panel, ahead + offset, interleaved ? group_bytes : stretch);
      const std::int64_t left = group_bytes - at * lanes;
      offset += (interleaved ? 1 : groups) * std::min(stretch, left);
      for_blocks<V, F>(words, blocks, [&](const auto& s, int b) { sums.block(s, b); });
      sums.end_stretch();
    }
    for (int t = 0; t < Tokens && t < x.tokens; ++t) {
      alignas(64) float lane[rows_together];
      for (int g = 0; g < groups; ++g) V::store(lane + g * lanes, sums.y(t, g));
      std::copy_n(lane, here, y + t * stride + row);
    }
  }
}

}  // namespace bq::cpu
