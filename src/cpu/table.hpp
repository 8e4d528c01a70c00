// The kernels of one instruction set, folded over the registry. Included by each src/cpu/<isa>/isa.cpp, which is built
// with that set's flags: all that is instantiated here is named after V.
#pragma once
#include <array>
#include <tuple>

#include "float_product.hpp"
#include "formats/registry.hpp"
#include "kernels.hpp"
#include "matvec.hpp"
#include "product.hpp"
#include "quantize_activations.hpp"

namespace bq::cpu {

// A row's part of a panel is too short for the hardware's prefetchers, and a strip has many rows: so bytes
// [at, at + bytes) of every row are asked for while the panel before is being multiplied.
template <class V>
BQ_HD void prefetch(const unsigned char* const* rows, std::int64_t at, std::int64_t bytes) {
  for (int r = 0; r < panel<V>::rows; ++r) {
    for (std::int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(rows[r] + at + i, 0, 2);
  }
}

template <class V, coded_format F, int Planes>
void strip_product(const unsigned char* const* rows, int strips, std::int64_t cols, const activations& x,
                   std::int64_t first, std::int64_t last, float* y, std::int64_t stride) noexcept {
  const auto offset_of = [](std::int64_t column) {
    return column / F::block_size * static_cast<std::int64_t>(sizeof(typename F::block));
  };
  panel<V> p;
  for (std::int64_t at = 0; at < cols; at += panel_cols) {
    const std::int64_t next = std::min<std::int64_t>(at + panel_cols, cols);
    const std::int64_t after = std::min<std::int64_t>(next + panel_cols, cols);
    for (int s = 0; s < strips; ++s) {
      const unsigned char* const* strip = rows + s * panel<V>::rows;
      unpack<V, F>(strip, offset_of(at), static_cast<int>((next - at) / F::block_size), p);
      prefetch<V>(strip, offset_of(next), offset_of(after - next));
      product<V, panel_traits<V, F>::kind, Planes>(
          p, x, first, last, at / panel_cols, static_cast<int>((next - at) / run), {y + s * panel<V>::rows, stride});
    }
  }
}

template <class V, any_format F>
constexpr format_kernels kernels_of() {
  if constexpr (float_format<F>)
    return {F::id, {}, {}, float_strip_product<V, F>};
  else
    return {F::id,
            {{matvec<V, F, 1, 1>, matvec<V, F, 2, 1>, matvec<V, F, 4, 1>},
             {matvec<V, F, 1, 2>, matvec<V, F, 2, 2>, matvec<V, F, 4, 2>}},
            {strip_product<V, F, 1>, strip_product<V, F, 2>},
            nullptr};
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
