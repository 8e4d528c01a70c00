// F16: one weight, 2 bytes, IEEE binary16, rounded to nearest even; beyond 65504 it becomes infinity.
//
//   bit   0          10         15 16
//         | fraction  | exponent | s |   little endian
#pragma once
#include <array>

#include "float16.hpp"

namespace bq {

struct f16 {
  static constexpr const char* name = "f16";
  static constexpr type id = type::f16;
  static constexpr int block_size = 1;
  static constexpr float max_rmse = 2.15e-4f;

  struct [[gnu::packed]] block {
    std::uint16_t bits;
  };
  static_assert(sizeof(block) == 2);
  static constexpr std::array<plane, 1> planes() { return {{{0, 2, 2, true}}}; }

  BQ_HD static float decode(const block& b) { return f16_to_f32(b.bits); }
  template <class V>
  BQ_HD static typename V::reals decode_lanes(typename V::words bits) {
    return V::f16_to_reals(bits);
  }
  BQ_HD static block encode(float x) { return {f16_from_f32(x)}; }
};

}  // namespace bq
