// BF16: one weight, 2 bytes, bfloat16, the upper half of binary32, rounded to nearest even.
//
//   bit   0       7               15 16
//         | fraction | exponent     | s |   little endian
#pragma once
#include <array>

#include "float16.hpp"

namespace bq {

struct bf16 {
  static constexpr const char* name = "bf16";
  static constexpr type id = type::bf16;
  static constexpr int block_size = 1;
  static constexpr float max_rmse = 1.7e-3f;

  struct [[gnu::packed]] block {
    std::uint16_t bits;
  };
  static_assert(sizeof(block) == 2);
  static constexpr std::array<plane, 1> planes() { return {{{0, 2, 2, true}}}; }

  BQ_HD static float decode(const block& b) { return bf16_to_f32(b.bits); }
  template <class V>
  BQ_HD static typename V::reals decode_lanes(typename V::words bits) {
    return V::as_reals(bits << 16);
  }
  BQ_HD static block encode(float x) { return {bf16_from_f32(x)}; }
};

}  // namespace bq
