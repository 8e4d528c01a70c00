// Numbers to and from bytes in either order, and blocks of other machines' files.
#pragma once
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace bq::gguf {

static_assert(std::endian::native == std::endian::little, "blocks are computed with as they lie in memory");

template <class T>
T load(const std::byte* from, bool big_endian = false) noexcept {
  std::byte bytes[sizeof(T)];
  std::memcpy(bytes, from, sizeof(T));
  if (big_endian) std::reverse(bytes, bytes + sizeof(T));
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}

// Swaps every `unit` bytes of `data`.
inline void swap_units(std::span<std::byte> data, std::size_t unit) noexcept {
  if (unit < 2) return;
  for (std::size_t i = 0; i + unit <= data.size(); i += unit) {
    std::reverse(data.begin() + static_cast<std::ptrdiff_t>(i), data.begin() + static_cast<std::ptrdiff_t>(i + unit));
  }
}

// Swaps the numbers inside whole blocks of type `type_id`. False, and nothing done, when the layout is not known.
bool swap_blocks(std::uint32_t type_id, std::span<std::byte> blocks) noexcept;

}  // namespace bq::gguf
