// What follows from the contract (formats/format.hpp) for every format, written once: signed codes, one group's scale
// and minimum, and the reference decoder. weight = scale * code - min, in f32, one rounding each, never contracted to
// an FMA.
#pragma once
#include "word.hpp"

namespace bq {

template <class F>
concept has_codebook = requires {
  F::codebook();
};
template <class F>
concept has_scales = requires(block_source s) {
  F::scales(s, 0);
};
template <class F>
concept has_min = requires(block_source s) {
  F::dmin(s);
};
template <class F>
concept has_mins = requires(block_source s) {
  F::mins(s, 0);
};

// Word w of the codes as signed bytes: code - zero, or the codebook's entry.
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
    return signed_bytes(c, F::zero);
  }
}

// f32 factor of the signed codes of group g (one for each row of S).
template <coded_format F, class S>
BQ_HD auto group_scale(const S& s, int g) {
  if constexpr (has_scales<F>)
    return F::d(s, g) * S::signed_byte(F::scales(s, g / 4), g);
  else
    return F::d(s, g);
}

// f32 value subtracted from every weight of group g; 0 for formats without one.
template <coded_format F, class S>
BQ_HD auto group_min(const S& s, int g) {
  if constexpr (has_mins<F>)
    return F::dmin(s) * S::unsigned_byte(F::mins(s, g / 4), g);
  else if constexpr (has_min<F>)
    return F::dmin(s);
  else
    return 0.0f;
}

// Weights 4w .. 4w+3 of a block, whose group has this scale and minimum.
template <coded_format F>
BQ_HD void decode_word(const block_source& s, int w, float scale, float minimum, float* out) {
  const std::uint32_t c = signed_codes<F>(s, w);
  for (int j = 0; j < 4; ++j) out[j] = scale * static_cast<float>(block_source::signed_byte(c, j)) - minimum;
}

template <coded_format F>
BQ_HD void decode_word(const block_source& s, int w, float* out) {
  const int g = 4 * w / F::group;
  decode_word<F>(s, w, group_scale<F>(s, g), group_min<F>(s, g), out);
}

// The signed codes of a block in order: block_size bytes.
template <coded_format F>
BQ_HD void signed_code_bytes(const block_source& s, unsigned char* out) {
  for (int w = 0; w < F::block_size / 4; ++w) {
    const std::uint32_t c = signed_codes<F>(s, w);
    memcpy(out + 4 * w, &c, 4);
  }
}

// block_size floats. Reference decoder: the same bits as ggml's.
template <any_format F>
BQ_HD void decode_block(const typename F::block& b, float* out) {
  if constexpr (float_format<F>) {
    *out = F::decode(b);
  } else {
    const block_source s(&b);
    constexpr int words = F::group / 4;
    for (int g = 0; g < F::block_size / F::group; ++g) {
      const float scale = group_scale<F>(s, g), minimum = group_min<F>(s, g);
      for (int w = g * words; w < (g + 1) * words; ++w) decode_word<F>(s, w, scale, minimum, out + 4 * w);
    }
  }
}

BQ_HD bool is_finite(float x) { return (f32_to_bits(x) & 0x7f800000u) != 0x7f800000u; }

// True if every weight of the block is finite: what a file must satisfy to be computed with. Scales decide it alone
// unless they are so large (f32 and E8M0 scales can be) that the product with a code may overflow.
template <any_format F>
BQ_HD bool block_is_finite(const typename F::block& b) {
  if constexpr (float_format<F>) {
    return is_finite(F::decode(b));
  } else {
    const block_source s(&b);
    if constexpr (requires { F::valid(s); }) {
      if (!F::valid(s)) return false;
    }
    constexpr float largest_product = 128.0f * 128.0f;  // of a scale and a signed code, both bytes
    bool finite = true;
    if constexpr (has_min<F>) finite = is_finite(F::dmin(s));
    for (int g = 0; g < F::block_size / F::group; ++g) finite = finite && is_finite(F::d(s, g) * largest_product);
    if (finite) return true;
    for (int w = 0; w < F::block_size / 4; ++w) {
      float weights[4];
      decode_word<F>(s, w, weights);
      for (int j = 0; j < 4; ++j) {
        if (!is_finite(weights[j])) return false;
      }
    }
    return true;
  }
}

}  // namespace bq
