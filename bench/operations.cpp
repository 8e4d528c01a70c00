#include "operations.hpp"

namespace bq_bench {
namespace {

constexpr operation all[] = {
    {"matmul", "activations [tokens, cols] times weights [rows, cols], as blocks", true, true, make_matmul},
    {"matmul_interleaved", "the same, the rows of weights interleaved beforehand", true, true, make_interleaved_matmul},
    {"quantize", "f32 weights [rows, cols] to blocks", false, true, make_quantize},
    {"dequantize", "blocks to f32 weights [rows, cols]", false, false, make_dequantize},
};

}  // namespace

std::span<const operation> operations() noexcept { return all; }

}  // namespace bq_bench
