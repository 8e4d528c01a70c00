// A view of a weight matrix in any type.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "types.hpp"

namespace bq {

// [rows, cols] row-major, rows = output features, cols = reduction; each row is row_bytes(id, cols) bytes of blocks, at
// any alignment; or as interleave() (interleave.hpp) lays them out. The view owns nothing.
struct matrix {
  type id = type::f32;
  std::int64_t rows = 0, cols = 0;
  std::span<const std::byte> blocks;
  int interleaved = 0;  // rows of a group; 0: in the file's layout
};

}  // namespace bq
