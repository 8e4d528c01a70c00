// A panel: a strip of rows of weights, a stretch of columns at a time, unpacked from any coded format to one layout, so
// that the products (src/cpu/tile.hpp) know no formats. It is cut into bands, each the rows of a tile:
//
//   codes    [cols / 4][rows][4]       bytes, unsigned with a zero to subtract, or signed
//   scale    [pieces][rows]            f32, of 32 columns (a run), or of 16 (a half) where groups are that small
//   minimum  [pieces][rows]            the same, where the format has minimums
//
// Wide formats, whose integer sums can run over the 256 columns of a block, have one scale for it: where scale * code
// always fits a byte (Q2_K, Q3_K), that product is the byte; ternary ones have one scale anyway. The activations share
// a scale over the block too.
//
// Minimums that are bytes with one scale for 256 columns may stay so: they meet sums of activations in a small product
// of their own.
//
//   minimum_codes  [blocks][groups / 4][rows][4]
//   minimum        [blocks][rows]              their scale, divided by sum_parts<kind>
#pragma once
#include <algorithm>
#include <array>
#include <bit>
#include <numeric>
#include <utility>

#include "blockquant/tier.hpp"
#include "formats/decode.hpp"
#include "row_source.hpp"

namespace bq::cpu {

inline constexpr int run = 32;          // columns that share one activation scale
inline constexpr int panel_cols = 512;  // a multiple of every block size
inline constexpr int wide_run = 256;    // columns that share a scale where scales are shared; a wide format's block

// What the products have to know about a format.
struct panel_kind {
  int zero;             // to be subtracted from every byte
  bool unsigned_bytes;  // how the bytes go into the dot product
  bool scale_halves;    // a scale for each half of a run
  int minimums;         // for each run: 0, 1 or 2
  bool minimum_bytes;   // whether they stay bytes
  int columns;          // that integer sums run over before they are scaled: a run, or a multiple
  activation_scaling scales;

  constexpr bool wide() const { return scales == activation_scaling::shared; }
};
// Sums of activations that meet bytes are so many times as large, to be rounded where scales differ by powers of two:
// as large as two signed digits allow.
template <panel_kind Kind>
inline constexpr int sum_parts = Kind.scales == activation_scaling::powers ? 8 : 1;
// Words of minimums that are bytes, of a row's 256 columns.
template <panel_kind Kind>
inline constexpr int minimum_words = wide_run / run* Kind.minimums / 4;

// What the kernels of a tier take.
constexpr activation_scaling scaling_in(tier t, activation_scaling s) {
  if (s == activation_scaling::none) return s;
  if (t == tier::fast) return activation_scaling::shared;
  return t == tier::precise && s == activation_scaling::powers ? activation_scaling::own : s;
}
// With activations of so many planes.
constexpr panel_kind in_planes(panel_kind kind, int planes) {
  kind.scales = scaling_in(planes == 2 ? tier::precise : tier::exact, kind.scales);
  kind.minimum_bytes = kind.minimum_bytes && kind.scales != activation_scaling::own;
  return kind;
}

// The least and the largest scale * (code - zero).
template <small_scale_format F>
constexpr std::pair<int, int> folded_range() {
  const int low = -F::zero, high = (1 << F::code_bits) - 1 - F::zero;
  return std::minmax({F::scale_low * low, F::scale_low * high, F::scale_high * low, F::scale_high * high});
}
// What is added to make them bytes.
template <small_scale_format F>
constexpr int folded_zero() {
  return -folded_range<F>().first;
}

// How a format's codes go into the dot product.
template <class V, coded_format F>
struct code_traits {
  static constexpr bool unsigned_bytes = V::template unsigned_weights < has_codebook<F> ? 8 : F::code_bits > ;
  static constexpr panel_kind kind{!unsigned_bytes   ? 0
                                   : has_codebook<F> ? 128
                                                     : F::zero,
                                   unsigned_bytes,
                                   F::group == run / 2,
                                   !has_min<F>           ? 0
                                   : F::group == run / 2 ? 2
                                                         : 1,
                                   has_mins<F>,
                                   run,
                                   scaling_of<F>};
};

// How a panel's bytes do: where the scales are folded in, the product of scale and code.
template <class V, coded_format F>
struct panel_traits : code_traits<V, F> {
  static constexpr bool folded = false;
};
template <class V, wide_format F>
struct panel_traits<V, F> {
  static constexpr bool folded = false;
  static constexpr bool unsigned_bytes = code_traits<V, F>::unsigned_bytes;
  static constexpr panel_kind kind = [] {
    panel_kind k = code_traits<V, F>::kind;
    k.columns = wide_run;
    return k;
  }();
};
template <class V, wide_format F>
requires small_scale_format<F>
struct panel_traits<V, F> {
  static constexpr bool folded = true;
  static constexpr bool unsigned_bytes = V::template unsigned_weights<std::bit_width(
      static_cast<unsigned>(folded_range<F>().second - folded_range<F>().first))>;
  static constexpr panel_kind kind{folded_zero<F>() - (unsigned_bytes ? 0 : 128),
                                   unsigned_bytes,
                                   false,
                                   code_traits<V, F>::kind.minimums,
                                   has_mins<F>,
                                   wide_run,
                                   activation_scaling::shared};
};

// Small enough to stay in the first-level cache while all tokens meet it.
template <class V>
struct panel_band {
  static constexpr int rows = V::tile * V::lanes;
  alignas(64) unsigned char codes[panel_cols * rows];
  alignas(64) float scale[panel_cols / (run / 2) * rows];
  alignas(64) float minimum[panel_cols / (run / 2) * rows];
  alignas(64) unsigned char minimum_codes[panel_cols / (run / 2) * rows];
};

template <class V>
struct panel {
  static constexpr int rows = V::strip * V::lanes;
  panel_band<V> bands[V::strip / V::tile];
  static_assert(V::strip % V::tile == 0);
};

// Word w of the codes as scale * (code - zero) + folded_zero(), bytes. Computed in 16-bit fields, so that nothing
// borrows: with scale = s + low it is code * s - low * (most - code) - zero * s + constant, and only the third term is
// negative.
template <small_scale_format F, class S>
BQ_HD auto folded_codes(const S& s, int w) {
  constexpr int low = F::scale_low, most = (1 << F::code_bits) - 1;
  constexpr int constant = low * (most - F::zero) + folded_zero<F>();
  static_assert(low <= 0 && constant >= 0 && folded_zero<F>() <= 255);
  constexpr std::uint32_t both = 0x00010001u;
  const int g = 4 * w / F::group;
  const auto c = F::codes(s, w);
  const auto scale = ((F::scales(s, g / 4) >> (8 * (g % 4))) - static_cast<std::uint32_t>(low)) & 0xffu;
  const auto subtracted = scale * (F::zero * both);
  const auto field = [&](const auto& code) {
    auto sum = code * scale + constant * both;
    if constexpr (low != 0) sum = sum + (most * both - code) * static_cast<std::uint32_t>(-low);
    return sum - subtracted;
  };
  return field(c & 0x00ff00ffu) | field(c >> 8 & 0x00ff00ffu) << 8;
}

// Word w of the codes as they go into the dot product.
template <class V, coded_format F, class S>
BQ_HD auto product_codes(const S& s, int w) {
  if constexpr (!code_traits<V, F>::unsigned_bytes)
    return signed_codes<F>(s, w);
  else if constexpr (has_codebook<F>)
    return signed_codes<F>(s, w) ^ 0x80808080u;
  else
    return F::codes(s, w);
}

// Word w of the bytes that go into the panel.
template <class V, coded_format F, class S>
BQ_HD auto panel_codes(const S& s, int w) {
  if constexpr (!panel_traits<V, F>::folded)
    return product_codes<V, F>(s, w);
  else if constexpr (panel_traits<V, F>::unsigned_bytes)
    return folded_codes<F>(s, w);
  else
    return folded_codes<F>(s, w) ^ 0x80808080u;
}

// What a block's minimum bytes are multiplied with.
template <panel_kind Kind, coded_format F, class S>
BQ_HD auto minimum_scale(const S& s) {
  if constexpr (sum_parts<Kind> == 1)
    return F::dmin(s);
  else
    return F::dmin(s) * decltype(F::dmin(s))(1.0f / sum_parts<Kind>);
}

// Block b of vector v of the panel.
template <class V, coded_format F, bool MinimumBytes, class S>
BQ_HD void unpack_block(const S& s, int v, int b, panel<V>& out) {
  constexpr int height = panel_band<V>::rows, words = F::block_size / 4;
  constexpr auto kind = panel_traits<V, F>::kind;
  constexpr int scale_cols = kind.scale_halves ? run / 2 : kind.columns;
  panel_band<V>& band = out.bands[v / V::tile];
  const int row = v % V::tile * V::lanes;
  unsigned char* codes = band.codes + (static_cast<std::ptrdiff_t>(b) * words * height + row) * 4;
#pragma GCC unroll 8
  for (int w = 0; w < words; ++w)
    V::store(codes + static_cast<std::ptrdiff_t>(w) * height * 4, panel_codes<V, F>(s, w));
  for (int c = 0; c < F::block_size; c += scale_cols) {
    float* to = band.scale + (b * F::block_size + c) / scale_cols * height + row;
    if constexpr (panel_traits<V, F>::folded)
      V::store(to, F::d(s, c / F::group));
    else
      V::store(to, group_scale<F>(s, c / F::group));
  }
  if constexpr (MinimumBytes) {
    V::store(band.minimum + b * height + row, minimum_scale<kind, F>(s));
    constexpr int count = minimum_words<kind>;
    for (int w = 0; w < count; ++w) V::store(band.minimum_codes + ((b * count + w) * height + row) * 4, F::mins(s, w));
  } else if constexpr (kind.minimums > 0) {
    constexpr int minimum_cols = kind.minimums == 2 ? run / 2 : run;
    for (int c = 0; c < F::block_size; c += minimum_cols) {
      V::store(band.minimum + (b * F::block_size + c) / minimum_cols * height + row, group_min<F>(s, c / F::group));
    }
  }
}

// Where blocks of `Groups` groups of rows lie one after the other, in interleaved words; and the sources of one of
// them.
template <std::size_t Groups>
using group_words = std::array<const unsigned char*, Groups>;

template <class V, int Phase, std::size_t Groups>
BQ_HD std::array<row_source<V, Phase>, Groups> sources_at(const group_words<Groups>& words, int offset) {
  static_assert(Groups == 1 || Groups == 2);
  if constexpr (Groups == 1)
    return {row_source<V, Phase>(words[0] + offset)};
  else
    return {row_source<V, Phase>(words[0] + offset), row_source<V, Phase>(words[1] + offset)};
}

// f(sources, b) for blocks [0, blocks).
template <class V, coded_format F, std::size_t Groups, class Each>
BQ_HD void for_blocks(const group_words<Groups>& words, int blocks, const Each& f) {
  constexpr int bytes = sizeof(typename F::block), phases = 4 / std::gcd(bytes, 4);
  const auto at = [&](int b) { return b * bytes / 4 * 4 * V::lanes; };
  if constexpr (phases == 2 && F::block_size == 256) {
    // Words that are read several times are cheaper to shift once.
    alignas(64) unsigned char aligned[Groups][(bytes + 2) * V::lanes];
    for (int b = 0; b < blocks; ++b) {
      group_words<Groups> here;
      for (std::size_t g = 0; g < Groups; ++g) {
        here[g] = words[g] + at(b);
        if (b % 2 == 0) continue;
        realign<V, bytes % 4, bytes>(here[g], aligned[g]);
        here[g] = aligned[g];
      }
      f(sources_at<V, 0>(here, 0), b);
    }
  } else {
    for (int b = 0; b < blocks; b += phases) {
      f(sources_at<V, 0>(words, at(b)), b);
      if constexpr (phases > 1) {
        if (b + 1 < blocks) f(sources_at<V, bytes % 4>(words, at(b + 1)), b + 1);
      }
      if constexpr (phases > 2) {
        if (b + 2 < blocks) f(sources_at<V, 2 * bytes % 4>(words, at(b + 2)), b + 2);
        if (b + 3 < blocks) f(sources_at<V, 3 * bytes % 4>(words, at(b + 3)), b + 3);
      }
    }
  }
}

// Unpacks blocks [0, blocks) at byte `at` of each row into the panel, which then holds blocks * F::block_size columns.
template <class V, coded_format F, bool MinimumBytes>
void unpack(const unsigned char* const* rows, bool interleaved, std::int64_t at, int blocks, panel<V>& out) noexcept {
  constexpr int bytes = sizeof(typename F::block);
  alignas(64) unsigned char buffer[(panel_cols / F::block_size * bytes + 3) / 4 * 4 * V::lanes];
  for (int v = 0; v < V::strip; ++v) {
    const group_words<1> words{words_of<V>(rows + v * V::lanes, interleaved, at, blocks * bytes, buffer)};
    for_blocks<V, F>(words, blocks, [&](const auto& s, int b) { unpack_block<V, F, MinimumBytes>(s[0], v, b, out); });
  }
}

}  // namespace bq::cpu
