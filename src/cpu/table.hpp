// The kernels of one instruction set, folded over the coded formats of the registry. Included by each
// src/cpu/<isa>/isa.cpp, which is built with that set's flags: all that is instantiated here is named after V.
#pragma once
#include <array>
#include <tuple>

#include "formats/registry.hpp"
#include "kernels.hpp"
#include "matvec.hpp"
#include "product.hpp"
#include "recode.hpp"

namespace bq::cpu {

template <tier Tier>
inline constexpr int planes_of = Tier == tier::precise ? 2 : 1;

template <class V, coded_format F, tier Tier>
inline constexpr panel_kind strip_kind = Tier == tier::fast ? recoded_kind<V>
                                                            : in_planes(panel_traits<V, F>::kind, planes_of<Tier>);

// Panel after panel, and in each of them strip after strip, so that the activations' part in it is fetched once for
// all.
template <class V, coded_format F, tier Tier>
void strip_product(const unsigned char* const* rows, bool interleaved, int count, std::int64_t cols,
                   const activations& x, const std::byte* prepared, std::int64_t first, std::int64_t last, float* sums,
                   float* y, std::int64_t stride) noexcept {
  constexpr panel_kind kind = strip_kind<V, F, Tier>;
  constexpr int planes = planes_of<Tier>;
  constexpr int height = panel<V>::rows;
  const auto* of = reinterpret_cast<const prologue<kind, planes>*>(prepared);
  const auto offset_of = [](std::int64_t column) {
    return column / F::block_size * static_cast<std::int64_t>(sizeof(typename F::block));
  };
  const std::int64_t tokens = last - first;
  const std::int64_t steps = std::max<std::int64_t>(1, tokens / tile_tokens<V, kind, planes>) * (V::strip / V::tile);
  panel<V> p;
  for (std::int64_t at = 0; at < cols; at += panel_cols) {
    const std::int64_t next = std::min<std::int64_t>(at + panel_cols, cols), k = at / panel_cols;
    const std::int64_t after = std::min<std::int64_t>(next + panel_cols, cols);
    const auto blocks = static_cast<int>((next - at) / F::block_size);
    const int runs = static_cast<int>((next - at + kind.columns - 1) / kind.columns);
    for (int strip = 0; strip < count; strip += height) {
      if constexpr (Tier == tier::fast)
        recode<V, F>(rows + strip, interleaved, offset_of(at), blocks, p);
      else
        unpack<V, F, kind.minimum_bytes>(rows + strip, interleaved, offset_of(at), blocks, p);
      const bool more = strip + height < count, direct = next == cols && count - strip >= height;
      const upcoming_rows<V> upcoming(more ? rows + strip + height : rows, interleaved, offset_of(more ? at : next),
                                      offset_of(more ? next - at : after - next), steps);
      float* const own = sums + strip * tokens;
      product<V, kind, planes>(p, x.codes_of(k, first, 0), of + k * x.tokens + first, tokens, runs,
                               {k == 0 ? nullptr : own, direct ? y + strip : own, height, direct ? stride : height},
                               upcoming);
    }
  }
  const int whole = count / height * height;
  for (std::int64_t t = 0; whole < count && t < tokens; ++t)
    std::copy_n(sums + whole * tokens + t * height, count - whole, y + t * stride + whole);
}

template <class V, panel_kind Kind, int Planes>
inline constexpr preparation preparation_of{sizeof(prologue<Kind, Planes>), prepare<V, Kind, Planes>};

// Few tokens have no kernels of their own in the fast tier: the weights' exact values would give other results than the
// same tokens get among many. Scalar code has one for a single token.
template <class V, coded_format F, tier Tier>
constexpr coded_kernels coded_kernels_of() {
  constexpr int planes = planes_of<Tier>;
  coded_kernels k{strip_kind<V, F, Tier>.scales,
                  {},
                  preparation_of<V, strip_kind<V, F, Tier>, planes>,
                  {},
                  strip_product<V, F, Tier>};
  if constexpr (Tier != tier::fast) {
    k.few = preparation_of<V, in_planes(code_traits<V, F>::kind, planes), planes>;
    k.matvec[0] = matvec<V, F, 1, planes>;
    if constexpr (V::lanes > 1) k.matvec = {k.matvec[0], matvec<V, F, 2, planes>, matvec<V, F, 4, planes>};
  }
  return k;
}

template <class V, coded_format F>
constexpr format_kernels kernels_of() {
  return {F::id,
          {coded_kernels_of<V, F, tier::exact>(), coded_kernels_of<V, F, tier::precise>(),
           coded_kernels_of<V, F, tier::fast>()}};
}

template <class V, class List>
struct kernel_table;

template <class V, class... F>
struct kernel_table<V, std::tuple<F...>> {
  static constexpr std::array<format_kernels, sizeof...(F)> rows{kernels_of<V, F>()...};
};

template <class V>
inline constexpr kernels kernels_for{V::lanes, panel<V>::rows, interleave_rows<V>, quantize_activations<V>,
                                     kernel_table<V, coded_formats>::rows};

}  // namespace bq::cpu
