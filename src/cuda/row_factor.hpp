// The factor f of a row (fragment.cuh): the power of two that brings the row's largest |scale| * f into [2^14, 2^15),
// or the largest |minimum| * f * 2^-24 into [2^8, 2^9) if f is smaller then; for floats, the largest |weight| * f *
// 2^-24 into [2^14, 2^15). 1 for rows of zeros; F16 weights enter products as they are: 2^24. NaN and infinities do not
// count. Host and device.
#pragma once
#include "formats/decode.hpp"

namespace bq::cuda {

struct row_range {
  float scale = 0, minimum = 0;  // largest finite magnitudes

  BQ_HD static void raise(float& top, float x) {
    const float magnitude = x < 0 ? -x : x;
    if (magnitude > top && is_finite(magnitude)) top = magnitude;
  }

  template <any_format F>
  BQ_HD void add(const void* bytes) {
    if constexpr (float_format<F>) {
      typename F::block b;
      memcpy(&b, bytes, sizeof b);
      raise(minimum, F::decode(b));
    } else {
      const block_source s(bytes);
      for (int g = 0; g < F::block_size / F::group; ++g) {
        raise(scale, group_scale<F>(s, g));
        raise(minimum, group_min<F>(s, g));
        raise(scale, F::d(s, g));  // kernels round it to f16 on the way
        if constexpr (has_min<F>) raise(minimum, F::dmin(s));
      }
    }
  }
};

// The exponent of 2^-e <= x < 2^(1-e), negated: x * 2^e lies in [1, 2). Subnormals count as 2^-127.
BQ_HD int normalising_exponent(float x) { return 127 - static_cast<int>(f32_to_bits(x) >> 23); }
// The exponent e of a token whose largest finite magnitude this is: brings it into [2^14, 2^15).
BQ_HD int token_exponent(float top) {
  const int e = top > 0 ? normalising_exponent(top) + 14 : 0;
  return e > 126 ? 126 : e;
}
BQ_HD float power_of_two(int e) { return f32_from_bits(static_cast<std::uint32_t>(e + 127) << 23); }

template <any_format F>
BQ_HD float row_factor(const row_range& range) {
  if constexpr (float_format<F>) {
    if (F::id == type::f16) return 0x1p24f;
  }
  constexpr int top = 14, min_top = coded_format<F> ? 8 : 14, code = 24, least = -126, most = 126;
  int e = most;
  if (range.scale == 0 && range.minimum == 0) e = 0;
  if (range.scale > 0) e = normalising_exponent(range.scale) + top;
  if (range.minimum > 0) {
    const int by_minimum = normalising_exponent(range.minimum) + min_top + code;
    if (by_minimum < e) e = by_minimum;
  }
  return power_of_two(e < least ? least : e > most ? most : e);
}

}  // namespace bq::cuda
