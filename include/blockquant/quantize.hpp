// Weights to blocks and back. Matrices are [rows, cols] row-major and contiguous; blocks are rows x row_bytes(type,
// cols). All functions are thread safe on distinct outputs; source and destination must not overlap. Output bytes
// depend on nothing but the input: not on the executor, the instruction set, the compiler, or how rows are divided
// between calls.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "error.hpp"
#include "parallel.hpp"
#include "types.hpp"

namespace bq {

struct quantize_options {
  // Importance of each column for the rows of this call (mean squared activation): empty, or [cols], finite and >= 0.
  std::span<const float> importance = {};
  executor* threads = nullptr;  // null: the calling thread
};

// Quantises `weights` [rows, cols] by the format's reference method: the bytes are those of ggml's reference built
// without FMA contraction. `out` has exactly rows * row_bytes(to, cols) bytes. Throws errc::unknown_type,
// errc::bad_shape (cols no multiple of the block size, span sizes that do not agree), errc::not_finite (a NaN or
// infinite weight, named by row and column), errc::out_of_range (finite weights whose scale overflows f16),
// errc::bad_importance. `out` is unspecified after a throw.
void quantize(type to, std::span<const float> weights, std::int64_t rows, std::int64_t cols, std::span<std::byte> out,
              const quantize_options& options = {});

// Decodes blocks [rows, cols] to f32, bit for bit what ggml's reference gives. Non-finite scales give non-finite
// weights: that is no error here (see check_blocks). Throws errc::unknown_type, errc::bad_shape.
void dequantize(type from, std::span<const std::byte> blocks, std::int64_t rows, std::int64_t cols,
                std::span<float> out, executor* threads = nullptr);

// Index of the first block whose scales are not finite (of the first weight, for float types), or -1. `blocks` is a
// whole number of blocks. Throws errc::unknown_type, errc::bad_shape.
std::int64_t check_blocks(type id, std::span<const std::byte> blocks);

}  // namespace bq
