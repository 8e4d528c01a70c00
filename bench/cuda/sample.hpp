// Random weights and activations of products on the GPU.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "blockquant/quantize.hpp"

namespace bench {

inline constexpr std::int64_t distinct_rows = 128;

// Rows of quantised normal weights: `distinct_rows` of them, again and again.
struct sample {
  bq::type id;
  std::int64_t cols;
  std::vector<std::byte> blocks;
  std::vector<float> decoded;

  sample(bq::type type, std::int64_t columns, bq::executor& threads) : id(type), cols(columns) {
    std::mt19937 random(1);
    std::normal_distribution<float> normal(0.0f, 0.02f);
    decoded.resize(static_cast<std::size_t>(distinct_rows * cols));
    for (float& w : decoded) w = normal(random);
    blocks.resize(static_cast<std::size_t>(distinct_rows) * bq::row_bytes(id, cols));
    bq::quantize(id, decoded, distinct_rows, cols, blocks, {.threads = &threads});
    bq::dequantize(id, blocks, distinct_rows, cols, decoded);
  }
  std::vector<std::byte> matrix_of(std::int64_t rows) const {
    const std::uint64_t size = bq::row_bytes(id, cols);
    std::vector<std::byte> out(static_cast<std::size_t>(rows) * size);
    for (std::int64_t row = 0; row < rows; ++row) {
      const auto from =
          blocks.begin() + static_cast<std::ptrdiff_t>(static_cast<std::uint64_t>(row % distinct_rows) * size);
      std::copy(from, from + static_cast<std::ptrdiff_t>(size),
                out.begin() + static_cast<std::ptrdiff_t>(static_cast<std::uint64_t>(row) * size));
    }
    return out;
  }
};

inline std::vector<float> random_activations(std::int64_t tokens, std::int64_t cols) {
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  std::vector<float> x(static_cast<std::size_t>(tokens * cols));
  for (float& a : x) a = normal(random);
  return x;
}

}  // namespace bench
