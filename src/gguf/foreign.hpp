// Tensor types that files may hold and the library does not compute with.
#pragma once
#include <cstdint>

namespace bq::gguf {

// A type of mainline ggml that can be listed and copied.
struct copied_type {
  std::uint32_t id;
  const char* name;
  std::uint32_t block_size, block_bytes;
};

// Null when `id` is not such a type.
const copied_type* find_copied(std::uint32_t id) noexcept;

}  // namespace bq::gguf
