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
  static_assert(!Kind.scale_halves);

 public:
  // As tile(), `tiles` times, 1 or more, for `Tokens` tokens each; calls done() after each.
  template <class Done>
  BQ_HD woven_tiles(const panel_band<V>& w, const std::int8_t* codes, const prologue<Kind, 1>* of, int runs, outputs y,
                    std::int64_t tiles, const Done& done)
      : w_(w) {
    prefetch_outputs<V, Tokens>(y);
    prefetch_outputs<V, Tokens>(y.after(Tokens));
    begin_outputs<V, Kind>(y, sofar_);
    add_products(codes, of, 0, nothing, [] {});
    while (true) {
      for (int r = 1; r < runs; ++r) {
        const auto finish = [&](int t) { add_run(t, of, r - 1); };
        add_products(codes, of, r, finish, [] {});
      }
      done();
      if (--tiles == 0) break;
      const outputs finished = y;
      codes += Tokens * panel_cols;
      of += Tokens;
      y = y.after(Tokens);
      prefetch_outputs<V, Tokens>(y.after(Tokens));
      const auto finish = [&](int t) { add_run(t, of - Tokens, runs - 1); };
      add_products(codes, of, 0, finish, [&] {
        end_outputs<V>(finished, of - Tokens, sofar_);
        begin_outputs<V, Kind>(y, sofar_);
      });
    }
#pragma GCC unroll 16
    for (int t = 0; t < Tokens; ++t) add_run(t, of, runs - 1);
    end_outputs<V>(y, of, sofar_);
  }

 private:
  // The dot products of run r. Between the first of them finish(t), for every token, scales and adds the sums of the
  // run before; then() follows. Where minimums are bytes those of a block come first, as a run of their own.
  template <class Finish, class Then>
  BQ_HD void add_products(const std::int8_t* codes, const prologue<Kind, 1>* of, int r, const Finish& finish,
                          const Then& then) {
    if constexpr (Kind.minimum_bytes) {
      const int block = r * Kind.columns / wide_run;
      if (r * Kind.columns % wide_run == 0) {
        add_minimums(of, block, finish);
        then();
        return add_codes(codes, of, r, [&](int t) { subtract_minimums(t, of, block); });
      }
    }
    add_codes(codes, of, r, finish);
    then();
  }

  static constexpr auto nothing = [](int) {};

  template <class Finish>
  BQ_HD void add_codes(const std::int8_t* codes, const prologue<Kind, 1>* of, int r, const Finish& finish) {
    ints sum[Tokens][vectors];
#pragma GCC unroll 16
    for (int t = 0; t < Tokens; ++t) {
      const ints start(of[t].start(0, 0, r));
#pragma GCC unroll 16
      for (int v = 0; v < vectors; ++v) sum[t][v] = start;
    }
    constexpr int pieces = Kind.columns / run;
    add_piece(codes, of, r * pieces, finish, sum);
#pragma GCC unroll 1
    for (int i = 1; i < pieces; ++i) add_piece(codes, of, r * pieces + i, nothing, sum);
    keep(sum);
  }

  // Of 32 columns.
  template <class Finish>
  BQ_HD void add_piece(const std::int8_t* codes, const prologue<Kind, 1>* of, std::ptrdiff_t i, const Finish& finish,
                       ints (&sum)[Tokens][vectors]) {
    prefetch_activations<Tokens>(codes, of, static_cast<int>(i));
    const auto four = [its = codes + i * run](int t, int j) { return its + t * panel_cols + 4 * j; };
    add_words<run / 4>(sum, w_.codes + i * run * height, four, finish);
  }

  // As subtract_minimums() of tile.hpp.
  template <class Finish>
  BQ_HD void add_minimums(const prologue<Kind, 1>* of, int block, const Finish& finish) {
    constexpr int count = minimum_words<Kind>;
    const unsigned char* const minimums = minimum_codes<V, Kind>(w_, block);
    const auto digits = [&](int digit) {
      return [=](int t, int i) { return of[t].digits[0][digit] + 4 * (block * count + i); };
    };
    ints sum[Tokens][vectors];
#pragma GCC unroll 16
    for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 16
      for (int v = 0; v < vectors; ++v) sum[t][v] = ints(0);
    }
    add_words<count>(sum, minimums, digits(1), finish);
#pragma GCC unroll 16
    for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 16
      for (int v = 0; v < vectors; ++v) sum[t][v] = sum[t][v] << 8;
    }
    add_words<count>(sum, minimums, digits(0), nothing);
    keep(sum);
  }

  // `Words` words of all rows times four(t, word); meanwhile finish(t), for every token.
  template <int Words, class Four, class Finish>
  BQ_HD static void add_words(ints (&sum)[Tokens][vectors], const unsigned char* weights, const Four& four,
                              const Finish& finish) {
#pragma GCC unroll 16
    for (int j = 0; j < Words; ++j) {
      words its[vectors];
#pragma GCC unroll 16
      for (int v = 0; v < vectors; ++v) its[v] = V::load32(weights + (j * height + v * lanes) * 4);
#pragma GCC unroll 16
      for (int t = 0; t < Tokens; ++t) {
        const words x = V::broadcast(four(t, j));
#pragma GCC unroll 16
        for (int v = 0; v < vectors; ++v) sum[t][v] = V::template dot<Kind.unsigned_bytes>(sum[t][v], its[v], x);
      }
#pragma GCC unroll 16
      for (int t = 0; t < Tokens; ++t) {
        if (t * Words / Tokens == j) finish(t);
      }
    }
  }

  BQ_HD void keep(const ints (&sum)[Tokens][vectors]) {
#pragma GCC unroll 16
    for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 16
      for (int v = 0; v < vectors; ++v) before_[t][v] = sum[t][v];
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

  BQ_HD void subtract_minimums(int t, const prologue<Kind, 1>* of, int block) {
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v) {
      const reals scale = V::load_reals(w_.minimum + block * height + v * lanes);
      sofar_[t][v] = less_minimums<V>(before_[t][v], scale, of[t], block, sofar_[t][v]);
    }
  }

  const panel_band<V>& w_;
  reals sofar_[Tokens][vectors];
  ints before_[Tokens][vectors];  // of the run before
};

}  // namespace bq::cpu
