// What products on the GPU are checked with: quantised weights and what they decode to, activations of many magnitudes,
// and the bound of a product's error against f64, which follows from the roundings that src/cuda/fragment.cuh names.
#pragma once
#include <algorithm>
#include <cmath>
#include <random>

#include "blockquant/quantize.hpp"
#include "device.hpp"
#include "formats/registry.hpp"
#include "src/cuda/row_factor.hpp"

namespace oracle {

struct weights {
  std::int64_t rows, cols;
  std::vector<std::byte> blocks;
  std::vector<double> value, error;  // [rows, cols]: the weights, and how far the GPU's f16 may be from them
};

// Quantised normal weights; magnitudes differ between rows.
template <bq::any_format F>
weights make_weights(std::int64_t rows, std::int64_t cols, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(static_cast<std::size_t>(rows * cols));
  for (std::size_t i = 0; i < x.size(); ++i) {
    const auto row = static_cast<std::int64_t>(i) / cols;
    x[i] = normal(random) * std::pow(10.0f, static_cast<float>(row % 5) - 3.0f);
  }
  weights w{rows, cols, std::vector<std::byte>(static_cast<std::size_t>(rows) * bq::row_bytes(F::id, cols)), {}, {}};
  bq::quantize(F::id, x, rows, cols, w.blocks);

  constexpr double eps = 0x1p-11;  // f16 rounds by this, relatively
  for (std::int64_t row = 0; row < rows; ++row) {
    const auto* blocks = reinterpret_cast<const typename F::block*>(w.blocks.data()) + row * (cols / F::block_size);
    bq::cuda::row_range range;
    for (std::int64_t b = 0; b < cols / F::block_size; ++b) range.template add<F>(blocks + b);
    // f16 numbers below 2^-14 are multiples of 2^-24: the weight, and M before it.
    const double least = 2.0 / static_cast<double>(bq::cuda::row_factor<F>(range));
    for (std::int64_t b = 0; b < cols / F::block_size; ++b) {
      std::vector<float> decoded(F::block_size);
      bq::decode_block<F>(blocks[b], decoded.data());
      for (int i = 0; i < F::block_size; ++i) {
        const double value = static_cast<double>(decoded[static_cast<std::size_t>(i)]);
        double parts = 0;  // rounded twice, the scale and the minimum
        if constexpr (bq::coded_format<F>) {
          const double minimum = static_cast<double>(bq::group_min<F>(bq::block_source(&blocks[b]), i / F::group));
          parts = std::abs(value + minimum) + std::abs(minimum);
        }
        w.value.push_back(value);
        w.error.push_back(2.01 * eps * parts + eps * std::abs(value) + least);
      }
    }
  }
  return w;
}

// Tokens of magnitudes from 1e-6 to 6e4, and tokens of zeros.
inline std::vector<float> make_activations(std::int64_t tokens, std::int64_t cols) {
  std::mt19937 random(77);
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  const float magnitudes[] = {1.0f, 6e4f, 1e-6f, 300.0f, 0.0f};
  std::vector<float> x(static_cast<std::size_t>(tokens * cols));
  for (std::size_t i = 0; i < x.size(); ++i)
    x[i] = uniform(random) * magnitudes[i / static_cast<std::size_t>(cols) % 5];
  return x;
}

// y of the `tokens` tokens from `first` on.
inline std::vector<float> product(const bq::cuda::device_matrix& w, const device::array<float>& x, std::int64_t first,
                                  std::int64_t tokens) {
  const device::array<std::byte> memory(bq::cuda::activation_bytes(tokens, w.cols()));
  const bq::cuda::activations ready{memory.get(), tokens, w.cols()};
  const auto size = static_cast<std::size_t>(tokens * w.rows());
  const device::array<float> y(size);
  bq::cuda::prepare(x.get() + first * w.cols(), bq::cuda::element::f32, ready);
  bq::cuda::matmul(w, ready, y.get());
  return y.read();
}

// Every row_step-th row of every token.
inline void check_against_f64(const weights& w, const std::vector<float>& x, const std::vector<float>& y,
                              std::int64_t row_step = 1) {
  int wrong = 0;
  for (std::int64_t n = 0; n * w.cols < static_cast<std::int64_t>(x.size()); ++n) {
    const float* token = x.data() + n * w.cols;
    double top = 0;
    for (std::int64_t k = 0; k < w.cols; ++k) top = std::max(top, std::abs(static_cast<double>(token[k])));
    for (std::int64_t row = n % row_step; row < w.rows; row += row_step) {
      double sum = 0, bound = 0, magnitude = 0;
      for (std::int64_t k = 0; k < w.cols; ++k) {
        const auto i = static_cast<std::size_t>(row * w.cols + k);
        const double a = static_cast<double>(token[k]), a_error = 0x1p-11 * std::abs(a) + 0x1p-38 * top;
        sum += w.value[i] * a;
        magnitude += std::abs(w.value[i] * a);
        bound += w.error[i] * (std::abs(a) + a_error) + std::abs(w.value[i]) * a_error;
      }
      // A tensor core's sum of 16 products and the sum before may lose 2^-22 of the magnitudes; 64 steps a section.
      bound += magnitude * (64 * 0x1p-22 + static_cast<double>(w.cols / 1024 + 1) * 0x1p-24) * 1.01;
      const double found = static_cast<double>(y[static_cast<std::size_t>(n * w.rows + row)]);
      if (!(std::abs(found - sum) <= bound)) ++wrong;
    }
  }
  CHECK(wrong == 0);
}

}  // namespace oracle
