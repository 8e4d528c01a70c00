// The products of a few tokens: blocks of V::lanes rows are interleaved (row_source.hpp), unless they are already, and
// go into the dot product as they are unpacked, without a panel. The sums and their order are those of
// src/cpu/tile.hpp, so the results are too: where a panel holds scale * code, here the integer sum of each group is
// multiplied by its scale.
#pragma once
#include "tile.hpp"

namespace bq::cpu {

// How far ahead of interleaved weights prefetches run.
inline constexpr int prefetch_distance = 8192;

// Asks for the lines from p to `end`, and returns the first beyond them. The hardware's prefetcher knows a stream by
// the address of the instruction that reads it, and a kernel reads by hundreds of them: so that it keeps up with the
// memory, all lines are asked for by this one, in order, a few at a time between the arithmetic. Internal and const:
// callers keep their registers, and what they have loaded.
[[gnu::noinline, gnu::const]] static const unsigned char* prefetch_until(const unsigned char* p,
                                                                         const unsigned char* end) noexcept {
#pragma GCC unroll 1
  for (; p < end; p += 64) __builtin_prefetch(p);
  return p;
}

// One group of V::lanes rows and `Tokens` tokens, while the columns pass by.
template <class V, coded_format F, int Tokens, int Planes>
class matvec_lanes {
  using ints = typename V::ints;
  using words = typename V::words;
  using reals = typename V::reals;
  static constexpr panel_kind kind = in_planes(code_traits<V, F>::kind, Planes);
  static constexpr bool powers = kind.scales == activation_scaling::powers;
  static constexpr int parts = kind.scale_halves ? 2 : 1, part_words = run / 4 / parts;
  static constexpr int block_runs = F::block_size / run;

 public:
  // next: the first line to prefetch.
  BQ_HD explicit matvec_lanes(const unsigned char* next) : next_(next) {
    for (int t = 0; t < Tokens; ++t) y_[t] = reals(0.0f);
  }

  // The stretch of panel_cols columns that comes next, and what is to be prefetched meanwhile.
  BQ_HD void stretch(const activations& x, const prologue<kind, Planes>* of, std::int64_t panel,
                     const unsigned char* ahead) {
    ahead_ = ahead;
    for (std::int64_t t = 0; t < Tokens; ++t) {
      const std::int64_t token = std::min(t, x.tokens - 1);
      of_[t] = of + panel * x.tokens + token;
      codes_[t] = x.codes_of(panel, token, 0);
      if constexpr (powers) panel_sum_[t] = reals(0.0f);
    }
  }
  BQ_HD void end_stretch() {
    if constexpr (powers) {
      for (int t = 0; t < Tokens; ++t) y_[t] = V::fma(panel_sum_[t], reals(of_[t]->d[0]), y_[t]);
    }
  }

  // Block b of the stretch.
  template <class S>
  BQ_HD void block(const S& s, int b) {
    if constexpr (kind.wide()) {
      add_wide_block(s, b);
    } else {
#pragma GCC unroll 8
      for (int i = 0; i < block_runs; ++i) add_run(s, i, b * block_runs + i);
    }
  }

  BQ_HD reals y(int t) const { return y_[t]; }

 private:
  // What belongs to the first `runs` runs of the stretch.
  BQ_HD void prefetch(int runs) {
    constexpr int bytes = V::lanes * sizeof(typename F::block);
    next_ = prefetch_until(next_, ahead_ + runs * bytes / block_runs);
    asm volatile("" : "+r"(next_));  // here, and not where the result is used
  }

  // Run i of the block, run r of the stretch: its parts' integer sums, f(part, token, sum).
  template <class S, class Each>
  BQ_HD void sums_of_run(const S& s, int i, int r, const Each& f) {
    prefetch(r + 1);
    ints sum[parts][Planes][Tokens];
#pragma GCC unroll 8
    for (int part = 0; part < parts; ++part) {
#pragma GCC unroll 2
      for (int p = 0; p < Planes; ++p) {
#pragma GCC unroll 8
        for (int t = 0; t < Tokens; ++t) sum[part][p][t] = ints(of_[t]->start[p][part][r]);
      }
#pragma GCC unroll 8
      for (int j = 0; j < part_words; ++j) {
        const int word = part * part_words + j;
        const words weights = product_codes<V, F>(s, i * (run / 4) + word);
#pragma GCC unroll 2
        for (int p = 0; p < Planes; ++p) {
#pragma GCC unroll 8
          for (int t = 0; t < Tokens; ++t) {
            sum[part][p][t] = V::template dot<kind.unsigned_bytes>(
                sum[part][p][t], weights, V::broadcast(codes_[t] + p * panel_cols + r * run + 4 * word));
          }
        }
      }
    }
#pragma GCC unroll 8
    for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 8
      for (int part = 0; part < parts; ++part) {
        ints total = sum[part][0][t];
        if constexpr (Planes == 2) total = (total << 8) - total + sum[part][1][t];
        f(part, t, total);
      }
    }
  }

  template <class S>
  BQ_HD void add_run(const S& s, int i, int r) {
    reals scales[parts], minimums[std::max(1, kind.minimums)], sums[Tokens][parts];
#pragma GCC unroll 8
    for (int part = 0; part < parts; ++part) scales[part] = group_scale<F>(s, parts * i + part);
#pragma GCC unroll 8
    for (int m = 0; m < kind.minimums; ++m) minimums[m] = group_min<F>(s, kind.minimums * i + m);
    sums_of_run(s, i, r, [&](int part, int t, ints total) { sums[t][part] = V::to_reals(total); });
    reals* const y = powers ? panel_sum_ : y_;
#pragma GCC unroll 8
    for (int t = 0; t < Tokens; ++t) {
      y[t] = add_scaled<V>(*of_[t], r, sums[t], scales, y[t]);
#pragma GCC unroll 8
      for (int m = 0; m < kind.minimums; ++m) y[t] = V::fnma(minimums[m], reals(of_[t]->sum[m][r]), y[t]);
    }
  }

  template <class S>
  BQ_HD void add_wide_block(const S& s, int b) {
    if constexpr (kind.minimums > 0) {
      const auto bytes = [&](int i, int) { return F::mins(s, i); };
      const auto dmin = [&](int) { return F::dmin(s); };
      const auto of = [&](int t) -> const prologue<kind, Planes>& { return *of_[t]; };
      const auto y = [&](int t, int) -> reals& { return y_[t]; };
      subtract_minimums<V, Planes, Tokens, 1>(bytes, dmin, of, b * block_runs, b * (wide_run / 16), y);
    }
    ints total[Tokens];
#pragma GCC unroll 8
    for (int t = 0; t < Tokens; ++t) total[t] = ints(0);
#pragma GCC unroll 8
    for (int i = 0; i < block_runs; ++i) {
      ints factors[parts];
      if constexpr (panel_traits<V, F>::folded) {
#pragma GCC unroll 8
        for (int part = 0; part < parts; ++part) {
          const int g = parts * i + part;
          factors[part] = V::signed_byte_to_ints(F::scales(s, g / 4), g % 4);
        }
      }
      sums_of_run(s, i, b * block_runs + i, [&](int part, int t, ints sum) {
        if constexpr (panel_traits<V, F>::folded) sum = sum * factors[part];
        total[t] = total[t] + sum;
      });
    }
#pragma GCC unroll 8
    for (int t = 0; t < Tokens; ++t) {
      y_[t] = V::fma(V::to_reals(total[t]) * F::d(s, 0), reals(of_[t]->d[b * block_runs]), y_[t]);
    }
  }

  reals y_[Tokens], panel_sum_[Tokens];
  const std::int8_t* codes_[Tokens];
  const prologue<kind, Planes>* of_[Tokens];
  const unsigned char *next_, *ahead_ = nullptr;
};

// `count` rows at w times the tokens of x, Tokens at most: y [tokens, stride].
template <class V, coded_format F, int Tokens, int Planes>
void matvec(const unsigned char* w, bool interleaved, std::int64_t row_bytes, std::int64_t count, const activations& x,
            const std::byte* prologues, float* y, std::int64_t stride) noexcept {
  const auto* of = reinterpret_cast<const prologue<in_planes(code_traits<V, F>::kind, Planes), Planes>*>(prologues);
  constexpr int lanes = V::lanes, bytes = sizeof(typename F::block);
  constexpr int stretch_bytes = panel_cols / F::block_size * bytes;
  const std::int64_t apart = interleaved ? (row_bytes + 3) / 4 * 4 : row_bytes;
  alignas(64) unsigned char buffer[(stretch_bytes + 3) / 4 * 4 * lanes];
  // Of separate rows, the next ones in file order.
  const unsigned char* ahead = w + (interleaved ? prefetch_distance : lanes * apart);
  for (std::int64_t row = 0; row < count; row += lanes, ahead += lanes * apart) {
    const std::int64_t here = std::min<std::int64_t>(lanes, count - row);
    const unsigned char* rows[lanes];  // the last row stands in for those beyond it
    for (std::int64_t i = 0; i < lanes; ++i) rows[i] = w + (row + (interleaved ? 0 : std::min(i, here - 1))) * apart;
    matvec_lanes<V, F, Tokens, Planes> sums(ahead);
    for (std::int64_t at = 0; at < row_bytes; at += stretch_bytes) {
      const int blocks = static_cast<int>(std::min<std::int64_t>(stretch_bytes, row_bytes - at) / bytes);
      const unsigned char* words = words_of<V>(rows, interleaved, at, blocks * bytes, buffer);
      sums.stretch(x, of, at / stretch_bytes, ahead + at * lanes);
      for_blocks<V, F>(words, blocks, [&](const auto& s, int b) { sums.block(s, b); });
      sums.end_stretch();
    }
    for (int t = 0; t < Tokens && t < x.tokens; ++t) {
      alignas(64) float lane[lanes];
      V::store(lane, sums.y(t));
      std::copy_n(lane, here, y + t * stride + row);
    }
  }
}

}  // namespace bq::cpu
