// One row per format, folded from a list of formats at compile time: everything that the entry points need to know
// about a type, as data and function pointers. `format_table<all_formats>` is the library's own; a test may fold
// another list.
#pragma once
#include <array>
#include <bit>
#include <cmath>
#include <tuple>
#include <type_traits>
#include <utility>

#include "blockquant/types.hpp"
#include "formats/decode.hpp"

namespace bq {

struct format_row {
  type_info info;
  // Index of the first of `count` blocks with a weight that is not finite, or -1.
  std::int64_t (*first_not_finite)(const void* blocks, std::int64_t count) noexcept;
  // Swaps the bytes of every multi-byte number in a block, in place.
  void (*swap_block)(void* block) noexcept;
};

// How many of the blocks are surely finite, in pieces that compilers make vectors of: a float is not when all bits of
// its exponent are set, as infinity has them.
template <float_format F>
std::int64_t surely_finite(const typename F::block* blocks, std::int64_t count) noexcept {
  using bits = std::conditional_t<sizeof(typename F::block) == 2, std::uint16_t, std::uint32_t>;
  constexpr std::int64_t piece = 256;
  const auto infinity = std::bit_cast<bits>(F::encode(HUGE_VALF));
  for (std::int64_t first = 0;; first += piece) {
    if (count - first < piece) return first;
    bits bad = 0;
    for (std::int64_t i = first; i < first + piece; ++i) {
      bad |= (std::bit_cast<bits>(blocks[i]) & infinity) == infinity ? bits{1} : bits{0};
    }
    if (bad != 0) return first;
  }
}

template <any_format F>
std::int64_t first_not_finite(const void* blocks, std::int64_t count) noexcept {
  const auto* block = static_cast<const typename F::block*>(blocks);
  std::int64_t i = 0;
  if constexpr (float_format<F>) i = surely_finite<F>(block, count);
  for (; i < count; ++i) {
    if (!block_is_finite<F>(block[i])) return i;
  }
  return -1;
}

template <any_format F>
void swap_block(void* block) noexcept {
  auto* bytes = static_cast<unsigned char*>(block);
  for (const plane& p : F::planes()) {
    if (!p.number) continue;
    for (int at = p.offset; at < p.offset + p.bytes; at += p.unit) {
      for (int i = 0; i < p.unit / 2; ++i) std::swap(bytes[at + i], bytes[at + p.unit - 1 - i]);
    }
  }
}

template <any_format F>
constexpr format_row make_format_row() {
  format_row row{};
  row.info.id = F::id;
  row.info.name = F::name;
  row.info.block_size = F::block_size;
  row.info.block_bytes = sizeof(typename F::block);
  row.info.quantized = !float_format<F>;
  row.info.activation_only = activation_format<F>;
  row.info.uses_importance = importance_format<F>;
  if constexpr (coded_format<F>) row.info.scaling = scaling_of<F>;
  row.first_not_finite = first_not_finite<F>;
  row.swap_block = swap_block<F>;
  return row;
}

template <class List>
struct format_table;

template <any_format... F>
struct format_table<std::tuple<F...>> {
  static constexpr std::array<format_row, sizeof...(F)> rows{make_format_row<F>()...};
};

// The library's row for `id`; null when it does not compute with it.
const format_row* find_row(type id) noexcept;
// As find_row; throws errc::unknown_type.
const format_row& row_of(type id);

}  // namespace bq
