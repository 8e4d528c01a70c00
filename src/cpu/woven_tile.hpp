// A tile (tile.hpp) of one plane whose runs overlap: the sums of a run are scaled and added between the dot products
// of the next one. In a row, as tile() has them, these operations would fill the processor's queues while the units of
// the dot products idle; this way each unit has something to do all the time. The results are those of tile().
#pragma once
#include "tile.hpp"

namespace bq::cpu {

template <class V, panel_kind Kind, int Tokens>
class woven_tile {
  using ints = typename V::ints;
  using words = typename V::words;
  using reals = typename V::reals;
  static constexpr int vectors = V::tile, lanes = V::lanes, height = panel<V>::rows, run_words = run / 4;
  static_assert(run_words % Tokens == 0 && Kind.columns == run && !Kind.scale_halves && !Kind.wide());

 public:
  // As tile().
  BQ_HD woven_tile(const panel<V>& w, int row, const std::int8_t* codes, const prologue<Kind, 1>* of, int runs,
                   outputs y)
      : w_(w), row_(row), codes_(codes), of_(of) {
    prefetch_outputs<V, Tokens>(y, row);
    begin_outputs<V, Kind>(y, row, sofar_);
    add_products<false>(0);
    for (int r = 1; r < runs; ++r) add_products<true>(r);
#pragma GCC unroll 16
    for (int t = 0; t < Tokens; ++t) add_run_before(t, runs);
    end_outputs<V>(y, row, of, sofar_);
  }

 private:
  // The dot products of run r, and between them the sums of the run before.
  template <bool Before>
  BQ_HD void add_products(int r) {
    ints sum[Tokens][vectors];
#pragma GCC unroll 16
    for (int t = 0; t < Tokens; ++t) {
      const ints start(of_[t].start[0][0][r]);
#pragma GCC unroll 16
      for (int v = 0; v < vectors; ++v) sum[t][v] = start;
    }
#pragma GCC unroll 16
    for (int j = 0; j < run_words; ++j) {
      const int word = r * run_words + j;
      words weights[vectors];
#pragma GCC unroll 16
      for (int v = 0; v < vectors; ++v) weights[v] = V::load32(w_.codes + (word * height + row_ + v * lanes) * 4);
#pragma GCC unroll 16
      for (int t = 0; t < Tokens; ++t) {
        const words four = V::broadcast(codes_ + t * panel_cols + word * 4);
#pragma GCC unroll 16
        for (int v = 0; v < vectors; ++v) sum[t][v] = V::template dot<Kind.unsigned_bytes>(sum[t][v], weights[v], four);
      }
      if (Before && j % (run_words / Tokens) == 0) add_run_before(j / (run_words / Tokens), r);
    }
#pragma GCC unroll 16
    for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 16
      for (int v = 0; v < vectors; ++v) before_[t][v] = sum[t][v];
    }
  }

  BQ_HD void add_run_before(int t, int r) {
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v) {
      const reals sum[1] = {V::to_reals(before_[t][v])};
      sofar_[t][v] = add_run(w_, row_ + v * lanes, of_[t], r - 1, sum, sofar_[t][v]);
    }
  }

  const panel<V>& w_;
  int row_;
  const std::int8_t* codes_;
  const prologue<Kind, 1>* of_;
  reals sofar_[Tokens][vectors];
  ints before_[Tokens][vectors];  // of the run before
};

}  // namespace bq::cpu
