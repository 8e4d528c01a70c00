// Tiles (tile.hpp) of one plane whose runs overlap: the sums of a run are scaled and added between the dot products of
// the next one, be it of the same tile or of the next. In a row, as tile() has them, these operations would fill the
// processor's queues while the units of the dot products idle; this way each unit has something to do all the time.
// The results are those of tile().
#pragma once
#include "tile.hpp"

namespace bq::cpu {

template <class V, panel_kind Kind, int Tokens>
class woven_tiles {
  using ints = typename V::ints;
  using words = typename V::words;
  using reals = typename V::reals;
  static constexpr int vectors = V::tile, lanes = V::lanes, height = panel_band<V>::rows;
  static constexpr int piece_words = run / 4;  // of 32 columns
  static_assert(piece_words % Tokens == 0 && !Kind.scale_halves);

 public:
  // As tile(), `tiles` times, 1 or more, for `Tokens` tokens each; calls done() after each.
  template <class Done>
  BQ_HD woven_tiles(const panel_band<V>& w, const std::int8_t* codes, const prologue<Kind, 1>* of, int runs, outputs y,
                    std::int64_t tiles, const Done& done)
      : w_(w) {
    prefetch_outputs<V, Tokens>(y);
    prefetch_outputs<V, Tokens>(y.after(Tokens));
    begin_outputs<V, Kind>(y, sofar_);
    add_products<false>(codes, of, 0, of, 0);
    while (true) {
      for (int r = 1; r < runs; ++r) add_products<true>(codes, of, r, of, r - 1);
      done();
      if (--tiles == 0) break;
      const outputs finished = y;
      codes += Tokens * panel_cols;
      of += Tokens;
      y = y.after(Tokens);
      prefetch_outputs<V, Tokens>(y.after(Tokens));
      add_products<true>(codes, of, 0, of - Tokens, runs - 1);
      end_outputs<V>(finished, of - Tokens, sofar_);
      begin_outputs<V, Kind>(y, sofar_);
    }
#pragma GCC unroll 16
    for (int t = 0; t < Tokens; ++t) add_run(t, of, runs - 1);
    end_outputs<V>(y, of, sofar_);
  }

 private:
  // The dot products of run r, and between the first of them the sums of the run before: run `last` of the tokens at
  // `before`.
  template <bool Before>
  BQ_HD void add_products(const std::int8_t* codes, const prologue<Kind, 1>* of, int r, const prologue<Kind, 1>* before,
                          int last) {
    ints sum[Tokens][vectors];
#pragma GCC unroll 16
    for (int t = 0; t < Tokens; ++t) {
      const ints start(of[t].start(0, 0, r));
#pragma GCC unroll 16
      for (int v = 0; v < vectors; ++v) sum[t][v] = start;
    }
    constexpr int pieces = Kind.columns / run;
    add_piece<Before>(codes, of, r * pieces, before, last, sum);
#pragma GCC unroll 1
    for (int i = 1; i < pieces; ++i) add_piece<false>(codes, of, r * pieces + i, before, last, sum);
#pragma GCC unroll 16
    for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 16
      for (int v = 0; v < vectors; ++v) before_[t][v] = sum[t][v];
    }
  }

  // The same of 32 columns.
  template <bool Before>
  BQ_HD void add_piece(const std::int8_t* codes, const prologue<Kind, 1>* of, std::ptrdiff_t piece,
                       const prologue<Kind, 1>* before, int last, ints (&sum)[Tokens][vectors]) {
    prefetch_activations<Tokens>(codes, of, static_cast<int>(piece));
    const unsigned char* const weight_codes = w_.codes + piece * piece_words * height * 4;
    codes += piece * run;
#pragma GCC unroll 16
    for (int j = 0; j < piece_words; ++j) {
      words weights[vectors];
#pragma GCC unroll 16
      for (int v = 0; v < vectors; ++v) weights[v] = V::load32(weight_codes + (j * height + v * lanes) * 4);
#pragma GCC unroll 16
      for (int t = 0; t < Tokens; ++t) {
        const words four = V::broadcast(codes + t * panel_cols + j * 4);
#pragma GCC unroll 16
        for (int v = 0; v < vectors; ++v) sum[t][v] = V::template dot<Kind.unsigned_bytes>(sum[t][v], weights[v], four);
      }
      if (Before && j % (piece_words / Tokens) == 0) add_run(j / (piece_words / Tokens), before, last);
    }
  }

  // Of token t of those at `of`.
  BQ_HD void add_run(int t, const prologue<Kind, 1>* of, int r) {
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v) {
      const reals sum[1] = {V::to_reals(before_[t][v])};
      sofar_[t][v] = cpu::add_run(w_, v * lanes, of[t], r, sum, sofar_[t][v]);
    }
  }

  const panel_band<V>& w_;
  reals sofar_[Tokens][vectors];
  ints before_[Tokens][vectors];  // of the run before
};

}  // namespace bq::cpu
