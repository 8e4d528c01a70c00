// The product of a panel with many tokens: tile after tile, and meanwhile requests for the weights that come next. A
// row's part of a panel is too short for the hardware's prefetchers, and a strip has many rows.
#pragma once
#include "woven_tiles.hpp"

namespace bq::cpu {

template <class V, panel_kind Kind, int Planes>
inline constexpr bool woven = V::woven_tokens > 0 && Planes == 1 && !Kind.scale_halves;

template <class V, panel_kind Kind, int Planes>
inline constexpr int tile_tokens = woven<V, Kind, Planes>
                                       ? V::woven_tokens
                                       : std::max(1, V::accumulators / V::tile / Planes / (Kind.scale_halves ? 2 : 1));

// Bytes [at, at + bytes) of a strip's rows, a share of them asked for at each step.
template <class V>
class upcoming_rows {
 public:
  BQ_HD upcoming_rows(const unsigned char* const* rows, bool interleaved, std::int64_t at, std::int64_t bytes,
                      std::int64_t steps)
      : rows_(rows),
        together_(interleaved ? V::lanes : 1),
        at_(at * together_),
        end_((at + bytes) * together_),
        next_(at_) {
    const std::int64_t lines = (end_ - at_ + 63) / 64 * (panel<V>::rows / together_);
    share_ = (lines + steps - 1) / steps;
  }
  BQ_HD void step() {
    for (std::int64_t i = 0; i < share_ && row_ < panel<V>::rows; ++i) {
      __builtin_prefetch(rows_[row_] + next_, 0, 2);
      next_ += 64;
      if (next_ >= end_) {
        next_ = at_;
        row_ += together_;
      }
    }
  }

 private:
  const unsigned char* const* rows_;
  int together_, row_ = 0;
  std::int64_t at_, end_, next_, share_;
};

// `count` tokens with one panel: full tiles, then what is left one by one. Tiles that overlap are those of one band,
// all tokens of it; else both bands meet a tile's activations while these are at hand. A function of its own, because
// registers are scarce enough within it.
template <class V, panel_kind Kind, int Planes>
[[gnu::noinline]] void product(const panel<V>& w, const std::int8_t* codes, const prologue<Kind, Planes>* of,
                               std::int64_t count, int runs, outputs y, upcoming_rows<V> upcoming) noexcept {
  constexpr int tokens = tile_tokens<V, Kind, Planes>;
  const std::int64_t whole = count / tokens;
  std::int64_t t = 0;
  if constexpr (woven<V, Kind, Planes>) {
    if (whole > 0) {
      outputs its = y;
      for (const panel_band<V>& band : w.bands) {
        woven_tiles<V, Kind, tokens>(band, codes, of, runs, its, whole, [&] { upcoming.step(); });
        its = its.below(panel_band<V>::rows);
      }
      t = whole * tokens;
    }
  }
  const auto tiles = [&]<int Tokens>(std::integral_constant<int, Tokens>) {
    outputs its = y.after(t);
    for (const panel_band<V>& band : w.bands) {
      tile<V, Kind, Tokens, Planes>(band, codes + t * Planes * panel_cols, of + t, runs, its);
      its = its.below(panel_band<V>::rows);
      upcoming.step();
    }
    t += Tokens;
  };
  if constexpr (!woven<V, Kind, Planes>) {
    while (t + tokens <= count) tiles(std::integral_constant<int, tokens>());
  }
  while (t < count) tiles(std::integral_constant<int, 1>());
}

}  // namespace bq::cpu
