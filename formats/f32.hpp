// F32: one weight, 4 bytes, IEEE binary32, stored as it is.
//
//   bit   0                 23              31 32
//         | fraction         | exponent      | s |   little endian
#pragma once
#include <array>

#include "format.hpp"

namespace bq {

struct f32 {
  static constexpr const char* name = "f32";
  static constexpr type id = type::f32;
  static constexpr int block_size = 1;
  static constexpr float max_rmse = 0;

  struct [[gnu::packed]] block {
    float bits;
  };
  static_assert(sizeof(block) == 4);
  static constexpr std::array<plane, 1> planes() { return {{{0, 4, 4, true}}}; }

  BQ_HD static float decode(const block& b) { return b.bits; }
  template <class V>
  BQ_HD static typename V::reals decode_lanes(typename V::words bits) {
    return V::as_reals(bits);
  }
  BQ_HD static block encode(float x) { return {x}; }
};

}  // namespace bq
