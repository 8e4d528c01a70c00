// Panels of the fast tier: the weights of a row and 256 columns are encoded anew, as signed bytes with one scale, so
// that integer sums run over 256 columns.
//
//   d = largest / 127, byte = (scale * code - minimum) / d rounded to nearest
//
// where `largest` is the largest magnitude that the scales and minimums of those columns allow. Codes of up to 6 bits
// are multiplied in pairs, as 16-bit fields with 8 bits of fraction, which moves a weight by another 1/16 of a step at
// most. Bytes are stored with 128 added where the dot product takes unsigned ones.
#pragma once
#include "int8_scale.hpp"
#include "panel.hpp"

namespace bq::cpu {

static_assert(panel_cols % wide_run == 0);

template <class V>
inline constexpr panel_kind recoded_kind{V::template unsigned_weights<8> ? 128 : 0,
                                         V::template unsigned_weights<8>,
                                         false,
                                         0,
                                         false,
                                         wide_run,
                                         activation_scaling::shared};

// The least and the largest code - zero, or entry of the codebook.
template <coded_format F>
constexpr std::pair<int, int> code_range() {
  if constexpr (has_codebook<F>) {
    int low = 0, high = 0;
    for (const std::uint32_t word : F::codebook().word) {
      for (int i = 0; i < 4; ++i) {
        const int entry = static_cast<std::int8_t>(word >> (8 * i) & 0xffu);
        low = std::min(low, entry);
        high = std::max(high, entry);
      }
    }
    return {low, high};
  } else {
    return {-F::zero, (1 << F::code_bits) - 1 - F::zero};
  }
}

// The bits of the largest magnitude that a block's weights can have.
template <class V, coded_format F, class S>
BQ_HD typename V::words largest_weight(const S& s) {
  using reals = typename V::reals;
  constexpr std::pair<int, int> range = code_range<F>();
  typename V::words largest(0u);
  for (int g = 0; g < F::block_size / F::group; ++g) {
    const reals scale = group_scale<F>(s, g), minimum(group_min<F>(s, g));
    for (const int code : {range.first, range.second}) {
      largest = V::max(largest, V::as_words(scale * reals(static_cast<float>(code)) - minimum) & 0x7fffffffu);
    }
  }
  return largest;
}

template <coded_format F>
inline constexpr bool in_pairs = !has_codebook<F> && F::code_bits <= 6;

// The bytes of one group's codes, 128 added, four to a word.
template <class V, coded_format F>
struct recoded_group {
  using words = typename V::words;
  using reals = typename V::reals;
  reals factor;          // of signed codes
  words pair, constant;  // 256 * factor; what is added to both fields of its products, 1/2 to be rounded off included

  BQ_HD recoded_group(reals scale, reals minimum, reals inverse) : factor(scale * inverse) {
    if constexpr (in_pairs<F>) {
      pair = std::bit_cast<words>(V::round(factor * reals(256.0f)));
      const words below = std::bit_cast<words>(V::round(minimum * inverse * reals(256.0f)));
      constant = (words(128u * 256u + 128u) - pair * static_cast<std::uint32_t>(F::zero) - below) * 0x10001u;
    } else {
      static_assert(!has_min<F>);
    }
  }

  template <class S>
  BQ_HD words bytes(const S& s, int w) const {
    if constexpr (in_pairs<F>) {
      const words codes = F::codes(s, w);
      const words even = (codes & 0x00ff00ffu) * pair + constant, odd = (codes >> 8 & 0x00ff00ffu) * pair + constant;
      return (even >> 8 & 0x00ff00ffu) | (odd & 0xff00ff00u);
    } else {
      // In a float of this size the last bit counts 1: the sum is rounded, and its low byte is the result.
      constexpr float rounds = 12582912.0f;
      const words codes = signed_codes<F>(s, w);
      words out(0x80808080u);
      for (int i = 0; i < 4; ++i) {
        const words sum = V::as_words(V::fma(S::signed_byte(codes, i), factor, reals(rounds)));
        out = out ^ (i == 3 ? sum << 24 : (sum & 0xffu) << (8 * i));
      }
      return out;
    }
  }
};

// Block b of vector v of the panel; inverse: of the scale.
template <class V, coded_format F, class S>
BQ_HD void recode_block(const S& s, int v, int b, typename V::reals inverse, panel<V>& out) {
  constexpr int height = panel_band<V>::rows, group_words = F::group / 4;
  unsigned char* to = out.bands[v / V::tile].codes +
                      (static_cast<std::ptrdiff_t>(b) * (F::block_size / 4) * height + v % V::tile * V::lanes) * 4;
#pragma GCC unroll 16
  for (int g = 0; g < F::block_size / F::group; ++g) {
    const recoded_group<V, F> group(group_scale<F>(s, g), typename V::reals(group_min<F>(s, g)), inverse);
#pragma GCC unroll 8
    for (int w = g * group_words; w < (g + 1) * group_words; ++w) {
      auto bytes = group.bytes(s, w);
      if constexpr (!recoded_kind<V>.unsigned_bytes) bytes = bytes ^ 0x80808080u;
      V::store(to + static_cast<std::ptrdiff_t>(w) * height * 4, bytes);
    }
  }
}

// As unpack() (panel.hpp); what fills up the last 256 columns is left as it is, for activations of zero.
template <class V, coded_format F>
void recode(const unsigned char* const* rows, bool interleaved, std::int64_t at, int blocks, panel<V>& out) noexcept {
  constexpr int bytes = sizeof(typename F::block), wide_blocks = wide_run / F::block_size;
  alignas(64) unsigned char buffer[(panel_cols / F::block_size * bytes + 3) / 4 * 4 * V::lanes];
  for (int v = 0; v < V::strip; ++v) {
    const group_words<1> words{words_of<V>(rows + v * V::lanes, interleaved, at, blocks * bytes, buffer)};
    typename V::words largest[panel_cols / wide_run];
    for (auto& l : largest) l = typename V::words(0u);
    for_blocks<V, F>(words, blocks, [&](const auto& s, int b) {
      largest[b / wide_blocks] = V::max(largest[b / wide_blocks], largest_weight<V, F>(s[0]));
    });
    typename V::reals inverse[panel_cols / wide_run];
    for (int i = 0; i < panel_cols / wide_run; ++i) {
      const int8_scale<V> scale(largest[i], 127.0f);
      V::store(out.bands[v / V::tile].scale + i * panel_band<V>::rows + v % V::tile * V::lanes, scale.d);
      inverse[i] = scale.inverse;
    }
    for_blocks<V, F>(words, blocks,
                     [&](const auto& s, int b) { recode_block<V, F>(s[0], v, b, inverse[b / wide_blocks], out); });
  }
}

}  // namespace bq::cpu
