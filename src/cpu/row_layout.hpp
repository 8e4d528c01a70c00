// Where the rows of a matrix lie (blockquant/tensor.hpp): one after the other, or interleaved in groups, in which each
// row is filled up to whole words.
#pragma once
#include <algorithm>

#include "blockquant/tensor.hpp"

namespace bq::cpu {

struct row_layout {
  const unsigned char* blocks;
  std::int64_t bytes, apart, together;  // of a row; from one to the next; rows of a group

  explicit row_layout(const matrix& w)
      : blocks(reinterpret_cast<const unsigned char*>(w.blocks.data())),
        bytes(static_cast<std::int64_t>(row_bytes(w.id, w.cols))),
        apart(w.interleaved == 0 ? bytes : (bytes + 3) / 4 * 4),
        together(std::max(w.interleaved, 1)) {}

  // The row, or its group.
  const unsigned char* of(std::int64_t row) const { return blocks + row / together * together * apart; }
};

}  // namespace bq::cpu
