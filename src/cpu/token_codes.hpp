// Tokens as int8 codes under one scale each (quantize_tokens in include/blockquant/ops.hpp), over an instruction set's
// vectors V: the largest magnitude first, as bits, so that NaN is larger than everything; then 32 codes at a time.
#pragma once
#include "wide.hpp"

namespace bq::cpu {

inline constexpr int code_stretch = 32;

// visit(x, count) for stretches of x; the last one is a copy, filled up with zeros.
template <class Visit>
BQ_HD void for_stretches(const float* x, std::int64_t cols, const Visit& visit) {
  std::int64_t at = 0;
  for (; at + code_stretch <= cols; at += code_stretch) visit(at, x + at, code_stretch);
  if (at == cols) return;
  alignas(64) float last[code_stretch] = {};
  for (std::int64_t i = at; i < cols; ++i) last[i - at] = x[i];
  visit(at, last, static_cast<int>(cols - at));
}

template <class V>
BQ_HD std::uint32_t largest_magnitude(const float* x, std::int64_t cols) {
  typename V::words largest(0u);
  for_stretches(x, cols, [&](std::int64_t, const float* p, int) {
    for (int i = 0; i < code_stretch; i += V::lanes)
      largest = V::max(largest, V::as_words(V::load_reals(p + i)) & 0x7fffffffu);
  });
  alignas(64) unsigned char bytes[4 * V::lanes];
  V::store(bytes, largest);
  std::uint32_t top = 0;
  for (int i = 0; i < V::lanes; ++i) {
    std::uint32_t lane;
    memcpy(&lane, bytes + 4 * i, 4);
    if (lane > top) top = lane;
  }
  return top;
}

template <class V>
void token_codes(const float* x, std::int64_t tokens, std::int64_t cols, std::int8_t* codes, float* scales) noexcept {
  constexpr std::uint32_t infinity = 0x7f800000, not_a_number = 0x7fc00000, tiny = (127 - 100) << 23;
  for (std::int64_t t = 0; t < tokens; ++t, x += cols, codes += cols) {
    const std::uint32_t top = largest_magnitude<V>(x, cols);
    const bool usable = top >= tiny && top < infinity;
    scales[t] = usable ? f32_from_bits(top) / 127.0f : f32_from_bits(top < tiny ? 0 : not_a_number);
    if (!usable) {
      memset(codes, 0, static_cast<std::size_t>(cols));
      continue;
    }
    const typename V::reals inverse(127.0f / f32_from_bits(top));
    for_stretches(x, cols, [&](std::int64_t at, const float* p, int count) {
      typename V::ints rounded[code_stretch / V::lanes];
      for (int i = 0; i < code_stretch / V::lanes; ++i)
        rounded[i] = V::round(V::load_reals(p + i * V::lanes) * inverse);
      if (count == code_stretch) return V::store_bytes(codes + at, rounded);
      std::int8_t bytes[code_stretch];
      V::store_bytes(bytes, rounded);
      memcpy(codes + at, bytes, static_cast<std::size_t>(count));
    });
  }
}

}  // namespace bq::cpu
