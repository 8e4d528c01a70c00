// The scale that brings values whose largest magnitude is known to integers of at most `limit`: d = largest / limit,
// and its inverse. A largest magnitude below 2^-100 counts as zero; NaN or infinity makes d NaN, and the inverse zero.
#pragma once
#include <cstdint>

#include "formats/format.hpp"

namespace bq::cpu {

template <class V>
struct int8_scale {
  using words = typename V::words;
  using reals = typename V::reals;
  reals d, inverse;

  // largest: the magnitude's bits. As unsigned numbers these are in the order of the magnitudes, and NaN is larger than
  // everything.
  BQ_HD int8_scale(words largest, float limit)
      : d(where_usable(largest, V::as_reals(largest) / reals(limit), 0x7fc00000u)),
        inverse(where_usable(largest, reals(limit) / V::as_reals(largest), 0)) {}

 private:
  BQ_HD static reals where_usable(words largest, reals value, std::uint32_t otherwise) {
    constexpr std::uint32_t infinity = 0x7f800000, tiny = (127 - 100) << 23;
    const words finite = V::select(V::less(largest, infinity), V::as_words(value), words(otherwise));
    return V::as_reals(V::select(V::less(largest, tiny), words(0u), finite));
  }
};

}  // namespace bq::cpu
