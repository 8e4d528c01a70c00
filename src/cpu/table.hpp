// The kernels of one instruction set, folded over the registry. Included by each src/cpu/<isa>/isa.cpp, which is built
// with that set's flags: all that is instantiated here is named after V.
#pragma once
#include <array>
#include <tuple>

#include "float_product.hpp"
#include "formats/registry.hpp"
#include "kernels.hpp"
#include "product.hpp"

namespace bq::cpu {

template <class V, coded_format F, int Planes>
void strip_product(const unsigned char* const* rows, std::int64_t cols, const activations& x, std::int64_t first,
                   std::int64_t last, float* y, std::int64_t stride) noexcept {
  panel<V> p;
  for (std::int64_t at = 0; at < cols; at += panel_cols) {
    const int here = static_cast<int>(std::min<std::int64_t>(panel_cols, cols - at));
    unpack<V, F>(rows, at / F::block_size * static_cast<std::int64_t>(sizeof(typename F::block)), here / F::block_size,
                 p);
    product<V, panel_traits<V, F>::kind, Planes>(p, x, first, last, at / run, here / run, {y, stride});
  }
}

template <class V, any_format F>
constexpr format_kernels kernels_of() {
  if constexpr (float_format<F>)
    return {F::id, {}, {}, float_strip_product<V, F>};
  else
    return {F::id, panel_traits<V, F>::kind, {strip_product<V, F, 1>, strip_product<V, F, 2>}, nullptr};
}

template <class V, class List>
struct kernel_table;

template <class V, class... F>
struct kernel_table<V, std::tuple<F...>> {
  static constexpr std::array<format_kernels, sizeof...(F)> rows{kernels_of<V, F>()...};
};

template <class V>
inline constexpr kernels kernels_for{panel<V>::rows, quantize_activations<V>, kernel_table<V, all_formats>::rows};

}  // namespace bq::cpu
