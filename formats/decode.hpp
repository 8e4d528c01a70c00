// What follows from the contract (formats/format.hpp) for every format, written once: signed codes, one group's scale and
// minimum, and the reference decoder. weight = scale * code - min, in f32, one rounding each, never contracted to an FMA.
#pragma once
#include "word.hpp"

namespace bq {

template <class F>
concept has_codebook = requires { F::codebook(); };
template <class F>
concept has_scales = requires(block_source s) { F::scales(s, 0); };
template <class F>
concept has_min = requires(block_source s) { F::dmin(s); };
template <class F>
concept has_mins = requires(block_source s) { F::mins(s, 0); };

// Word w of the codes as signed bytes: code - zero, or the codebook's entry. Bytes do not borrow from one another.
template <coded_format F, class S>
BQ_HD auto signed_codes(const S& s, int w) {
  const auto c = F::codes(s, w);
  if constexpr (has_codebook<F>) {
    return S::lookup(c, F::codebook());
  } else if constexpr (F::zero == 0) {
    return c;
  } else if constexpr (F::zero == 128) {
    return c ^ 0x80808080u;
  } else {
    return ((c | 0x80808080u) - 0x01010101u * F::zero) ^ 0x80808080u;
  }
}

// Byte g % 4 of word g / 4, of packed scales or mins.
BQ_HD int signed_byte(std::uint32_t word, int index) {
  return static_cast<std::int8_t>(static_cast<std::uint8_t>(word >> (8 * (index & 3))));
}
BQ_HD int unsigned_byte(std::uint32_t word, int index) { return static_cast<std::uint8_t>(word >> (8 * (index & 3))); }

// f32 factor of the signed codes of group g.
template <coded_format F>
BQ_HD float group_scale(const block_source& s, int g) {
  if constexpr (has_scales<F>) return F::d(s, g) * static_cast<float>(signed_byte(F::scales(s, g / 4), g));
  else return F::d(s, g);
}

// f32 value subtracted from every weight of group g; 0 for formats without one.
template <coded_format F>
BQ_HD float group_min(const block_source& s, int g) {
  if constexpr (has_mins<F>) return F::dmin(s) * static_cast<float>(unsigned_byte(F::mins(s, g / 4), g));
  else if constexpr (has_min<F>) return F::dmin(s);
  else return 0.0f;
}

// Weights 4w .. 4w+3 of a block.
template <coded_format F>
BQ_HD void decode_word(const block_source& s, int w, float* out) {
  const std::uint32_t c = signed_codes<F>(s, w);
  const int g = 4 * w / F::group;
  const float scale = group_scale<F>(s, g);
  for (int j = 0; j < 4; ++j) {
    const float value = scale * static_cast<float>(signed_byte(c, j));
    if constexpr (has_min<F>) out[j] = value - group_min<F>(s, g);
    else out[j] = value;
  }
}

// block_size floats. Reference decoder: the same bits as ggml's.
template <any_format F>
BQ_HD void decode_block(const typename F::block& b, float* out) {
  if constexpr (float_format<F>) {
    *out = F::decode(b);
  } else {
    const block_source s(&b);
    for (int w = 0; w < F::block_size / 4; ++w) decode_word<F>(s, w, out + 4 * w);
  }
}

// True if every weight of the block is finite by its scales: what a file must satisfy to be computed with.
template <any_format F>
BQ_HD bool block_is_finite(const typename F::block& b) {
  const auto finite = [](float x) { return (f32_to_bits(x) & 0x7f800000u) != 0x7f800000u; };
  if constexpr (float_format<F>) {
    return finite(F::decode(b));
  } else {
    const block_source s(&b);
    if constexpr (requires { F::valid(s); }) {
      if (!F::valid(s)) return false;
    }
    if constexpr (has_min<F>) {
      if (!finite(F::dmin(s))) return false;
    }
    for (int g = 0; g < F::block_size / F::group; ++g) {
      if (!finite(F::d(s, g))) return false;
    }
    return true;
  }
}

}  // namespace bq
