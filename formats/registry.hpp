// The list of formats: the only one. Tables, dispatch, tests and documentation are folded from it, in its order. A new
// format is its header, the include and the entry here (and its golden data).
#pragma once
#include <string_view>
#include <tuple>

#include "bf16.hpp"
#include "decode.hpp"
#include "f16.hpp"
#include "f32.hpp"
#include "iq4_nl.hpp"
#include "iq4_xs.hpp"
#include "mxfp4.hpp"
#include "nvfp4.hpp"
#include "q2_K.hpp"
#include "q3_K.hpp"
#include "q4_0.hpp"
#include "q4_1.hpp"
#include "q4_K.hpp"
#include "q5_0.hpp"
#include "q5_1.hpp"
#include "q5_K.hpp"
#include "q6_K.hpp"
#include "q8_0.hpp"
#include "q8_1.hpp"
#include "q8_K.hpp"
#include "quantize.hpp"
#include "tq1_0.hpp"
#include "tq2_0.hpp"

namespace bq {

using all_formats = std::tuple<f32, f16, bf16, q4_0, q4_1, q5_0, q5_1, q8_0, q8_1, q2_K, q3_K, q4_K, q5_K, q6_K, q8_K,
                               iq4_nl, iq4_xs, tq1_0, tq2_0, mxfp4, nvfp4>;

// Those of a tuple with codes, and those without.
template <class Formats, bool Coded>
struct part_of;
template <class... F, bool Coded>
struct part_of<std::tuple<F...>, Coded> {
  using formats =
      decltype(std::tuple_cat(std::conditional_t<coded_format<F> == Coded, std::tuple<F>, std::tuple<>>()...));
};
using coded_formats = part_of<all_formats, true>::formats;
using float_formats = part_of<all_formats, false>::formats;

// visit(F{}) for every format of a tuple, in order.
template <class Formats = all_formats, class Visit>
constexpr void for_each_format(Visit&& visit) {
  [&]<class... F>(std::tuple<F...>*) { (visit(F{}), ...); }(static_cast<Formats*>(nullptr));
}

// Whether the planes are in order and cover every byte of the block once, in whole units.
template <any_format F>
constexpr bool planes_cover_block() {
  int end = 0;
  for (const plane& p : F::planes()) {
    if (p.offset != end || p.unit <= 0 || p.bytes % p.unit != 0) return false;
    end += p.bytes;
  }
  return end == static_cast<int>(sizeof(typename F::block));
}

template <any_format F>
constexpr bool is_well_formed() {
  return (float_format<F> || (coded_format<F> && quantizable<F>)) && planes_cover_block<F>();
}

// Whether every format of the tuple keeps the contract, and ids and names are distinct. Asserted of all_formats here.
template <class Formats>
constexpr bool is_registry() {
  constexpr std::size_t count = std::tuple_size_v<Formats>;
  type ids[count] = {};
  std::string_view names[count];
  std::size_t n = 0;
  bool good = true;
  for_each_format<Formats>([&]<class F>(F) {
    good = good && is_well_formed<F>();
    for (std::size_t i = 0; i < n; ++i) good = good && ids[i] != F::id && names[i] != F::name;
    ids[n] = F::id;
    names[n++] = F::name;
  });
  return good;
}
static_assert(is_registry<all_formats>());

}  // namespace bq
