// Products of many tokens on the GPU: every token has the bits that it has in a batch of at most 64, which matmul.cpp
// checks against f64; for every format, at shapes around the tiles of src/cuda/wide.cuh, and in repeated runs.
#include <cmath>

#include "blockquant/quantize.hpp"
#include "device.hpp"
#include "formats/registry.hpp"

namespace {

std::vector<float> product(const bq::cuda::device_matrix& w, const float* x, std::int64_t tokens) {
  const device::array<std::byte> memory(bq::cuda::activation_bytes(tokens, w.cols()));
  const bq::cuda::activations ready{memory.get(), tokens, w.cols()};
  const device::array<float> y(static_cast<std::size_t>(tokens * w.rows()));
  bq::cuda::prepare(x, bq::cuda::element::f32, ready);
  bq::cuda::matmul(w, ready, y.get());
  return y.read();
}

// Magnitudes from 1e-6 to 6e4, and tokens of zeros.
std::vector<float> make_activations(std::int64_t tokens, std::int64_t cols) {
  std::vector<float> x = device::normal(static_cast<std::size_t>(tokens * cols), 3);
  const float magnitudes[] = {1.0f, 1.5e4f, 1e-6f, 300.0f, 0.0f};
  for (std::size_t i = 0; i < x.size(); ++i) x[i] *= magnitudes[i / static_cast<std::size_t>(cols) % 5];
  return x;
}

}  // namespace

TEST_CASE_TEMPLATE_DEFINE("many tokens at once have the bits of few at a time", F, many_of) {
  if constexpr (!bq::activation_format<F>) {
    if (bq::cuda::device_count() == 0) return;
    CAPTURE(F::name);
    constexpr std::int64_t block = F::block_size, few = 64;
    struct shape {
      std::int64_t rows, cols, tokens;
    };
    bq::cuda::transfer mover;
    for (const shape& s : {shape{1, block, 65}, shape{100, 1024 + block, 177}, shape{1000, 3 * 256, 353},
                           shape{257, 2560 / block * block, 529}, shape{2200, 256, 100}}) {
      CAPTURE(s.rows);
      CAPTURE(s.tokens);
      std::vector<std::byte> blocks(static_cast<std::size_t>(s.rows) * bq::row_bytes(F::id, s.cols));
      bq::quantize(F::id, device::normal(static_cast<std::size_t>(s.rows * s.cols), 7), s.rows, s.cols, blocks);
      const bq::cuda::device_matrix w = mover.upload({F::id, s.rows, s.cols, blocks});
      const device::array<float> x(make_activations(s.tokens, s.cols));
      const std::vector<float> y = product(w, x.get(), s.tokens);
      CHECK(device::same_bits(product(w, x.get(), s.tokens), y));
      for (std::int64_t first = 0; first < s.tokens; first += few) {
        const std::int64_t tokens = std::min(few, s.tokens - first);
        const auto from = y.begin() + first * s.rows;
        CHECK(device::same_bits(product(w, x.get() + first * s.cols, tokens),
                                std::vector<float>(from, from + tokens * s.rows)));
      }
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(many_of, bq::all_formats);
