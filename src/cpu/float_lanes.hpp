// V::lanes consecutive weights of a float format as f32: what F::decode() gives, for NaNs too.
#pragma once
#include "formats/format.hpp"

namespace bq::cpu {

template <class V, float_format F>
BQ_HD typename V::reals load_floats(const unsigned char* p) {
  if constexpr (sizeof(typename F::block) == 2) {
    return F::template decode_lanes<V>(V::load16(p));
  } else {
    static_assert(sizeof(typename F::block) == 4);
    return F::template decode_lanes<V>(V::load32(p));
  }
}

}  // namespace bq::cpu
