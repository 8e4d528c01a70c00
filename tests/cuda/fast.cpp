// Products of the fast tier on the GPU against f64, for every format: with the weights and activations that its bytes
// stand for they agree within the roundings that src/cuda/fast.hpp names, bit for bit in any batch, any run and either
// kernel; and those are within half a step of what they were made from.
#include <cmath>
#include <random>

#include "blockquant/cuda_ops.hpp"
#include "blockquant/quantize.hpp"
#include "device.hpp"
#include "formats/registry.hpp"
#include "oracle.hpp"
#include "src/cuda/fast.hpp"

namespace {

// Lines of values, and what bytes under a scale for 256 columns make of them: never off by more than half a step, and
// a little for the rounding of x * 127 / top.
struct coded_lines {
  std::int64_t lines, cols;
  std::vector<double> value, error;

  coded_lines(std::int64_t n, std::int64_t columns, const std::vector<double>& x) : lines(n), cols(columns), value(x) {
    constexpr std::int64_t slice = bq::cuda::byte_matrix::slice_cols;
    error.resize(x.size());
    for (std::int64_t line = 0; line < lines; ++line) {
      for (std::int64_t first = 0; first < cols; first += slice) {
        const auto from = static_cast<std::size_t>(line * cols + first);
        const auto to = static_cast<std::size_t>(line * cols + std::min(first + slice, cols));
        double top = 0;
        for (std::size_t i = from; i < to; ++i) top = std::max(top, std::abs(x[i]));
        for (std::size_t i = from; i < to; ++i) error[i] = top / 127 * (0.5 + 127 * 0x1p-22);
      }
    }
  }
};

template <class T>
std::vector<double> widened(const std::vector<T>& x) {
  return {x.begin(), x.end()};
}

std::vector<float> product(const bq::cuda::device_matrix& w, const device::array<float>& x, std::int64_t first,
                           std::int64_t tokens) {
  const device::array<std::byte> memory(bq::cuda::activation_bytes(tokens, w.cols(), bq::tier::fast));
  const bq::cuda::activations ready{memory.get(), tokens, w.cols(), bq::tier::fast};
  const device::array<float> y(static_cast<std::size_t>(tokens * w.rows()));
  bq::cuda::prepare(x.get() + first * w.cols(), bq::cuda::element::f32, ready);
  bq::cuda::matmul(w, ready, y.get());
  return y.read();
}

// The kernel for GPUs without wgmma, whatever this one has.
std::vector<float> product_with_mma(const bq::cuda::device_matrix& w, const device::array<float>& x,
                                    std::int64_t tokens) {
  const device::array<std::byte> memory(bq::cuda::activation_bytes(tokens, w.cols(), bq::tier::fast));
  const bq::cuda::activations ready{memory.get(), tokens, w.cols(), bq::tier::fast};
  const device::array<float> y(static_cast<std::size_t>(tokens * w.rows()));
  bq::cuda::prepare(x.get(), bq::cuda::element::f32, ready);
  bq::cuda::launch_fast_mma(w.view(), bq::cuda::view_bytes(ready), y.get(), nullptr);
  return y.read();
}

// Every row_step-th row of every token.
int wrong_outputs(const coded_lines& w, const coded_lines& x, const std::vector<float>& y, std::int64_t row_step) {
  int wrong = 0;
  for (std::int64_t n = 0; n < x.lines; ++n) {
    for (std::int64_t row = n % row_step; row < w.lines; row += row_step) {
      double sum = 0, bound = 0, magnitude = 0;
      for (std::int64_t k = 0; k < w.cols; ++k) {
        const auto i = static_cast<std::size_t>(row * w.cols + k), j = static_cast<std::size_t>(n * w.cols + k);
        sum += w.value[i] * x.value[j];
        const double a = std::abs(w.value[i]), b = std::abs(x.value[j]);
        bound += w.error[i] * (b + x.error[j]) + a * x.error[j];
        magnitude += (a + w.error[i]) * (b + x.error[j]);
      }
      // Scales and their product are rounded, and a sum for every slice.
      bound += magnitude * (4 + static_cast<double>(w.cols / 256 + 1)) * 0x1p-24;
      const double found = static_cast<double>(y[static_cast<std::size_t>(n * w.lines + row)]);
      if (!(std::abs(found - sum) <= bound)) ++wrong;
    }
  }
  return wrong;
}

}  // namespace

TEST_CASE_TEMPLATE_DEFINE("the fast tier agrees with f64, and its bits do not depend on the batch", F, fast_of) {
  if constexpr (!bq::activation_format<F>) {
    if (bq::cuda::device_count() == 0) return;
    CAPTURE(F::name);
    constexpr std::int64_t block = F::block_size;
    struct shape {
      std::int64_t rows, cols, tokens, checked_step;
    };
    bq::cuda::transfer mover;
    for (const shape& s : {shape{1, block, 1, 1}, shape{17, 3 * 256, 127, 1}, shape{300, 1024 + block, 130, 7},
                           shape{2500, 256, 600, 300}, shape{33, 5120 / block * block, 64, 1}}) {
      CAPTURE(s.rows);
      CAPTURE(s.tokens);
      const auto w = oracle::make_weights<F>(s.rows, s.cols, static_cast<unsigned>(s.tokens));
      const auto on_device = mover.upload({F::id, s.rows, s.cols, w.blocks}, bq::tier::fast);
      const auto x = oracle::make_activations(s.tokens, s.cols);
      const device::array device_x(x);
      const std::vector<float> y = product(on_device, device_x, 0, s.tokens);
      CHECK(wrong_outputs({s.rows, s.cols, w.value}, {s.tokens, s.cols, widened(x)}, y, s.checked_step) == 0);
      CHECK(device::same_bits(product(on_device, device_x, 0, s.tokens), y));
      CHECK(device::same_bits(product_with_mma(on_device, device_x, s.tokens), y));
      for (const std::int64_t few : {1, 16, 129}) {
        for (const std::int64_t first : {std::int64_t{0}, s.tokens / 2, s.tokens - std::min(few, s.tokens)}) {
          const std::int64_t tokens = std::min(few, s.tokens - first);
          const auto from = y.begin() + first * s.rows;
          CHECK(device::same_bits(product(on_device, device_x, first, tokens),
                                  std::vector<float>(from, from + tokens * s.rows)));
        }
      }
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(fast_of, bq::all_formats);

TEST_CASE("a NaN among the activations reaches its own token's outputs alone, one among the weights its row's") {
  if (device::missing()) return;
  bq::cuda::transfer mover;
  const std::int64_t rows = 20, cols = 512, tokens = 5;
  std::vector<float> w = device::normal(static_cast<std::size_t>(rows * cols), 1);
  w[3 * cols + 300] = std::nanf("");
  const auto on_device = mover.upload({bq::type::f32, rows, cols, std::as_bytes(std::span(w))}, bq::tier::fast);
  std::vector<float> x = device::normal(static_cast<std::size_t>(tokens * cols), 2);
  x[2 * cols + 7] = std::numeric_limits<float>::infinity();
  const std::vector<float> y = product(on_device, device::array(x), 0, tokens);
  for (std::int64_t n = 0; n < tokens; ++n) {
    for (std::int64_t row = 0; row < rows; ++row) {
      const float out = y[static_cast<std::size_t>(n * rows + row)];
      CHECK((out != out) == (n == 2 || row == 3));
    }
  }
}

TEST_CASE("tiers do not mix, and the fast one's weights do not come back") {
  const auto code = [](auto call) { return device::code_of(call); };
  CHECK(code([] { bq::cuda::activation_bytes(1, 32, bq::tier::precise); }) == bq::errc::invalid_argument);
  if (device::missing()) return;
  bq::cuda::transfer mover;
  const std::vector<float> values = device::normal(64, 3);
  std::vector<std::byte> blocks(bq::row_bytes(bq::type::q8_0, 64));
  bq::quantize(bq::type::q8_0, values, 1, 64, blocks);
  const bq::matrix w{bq::type::q8_0, 1, 64, blocks};
  CHECK(code([&] { mover.upload(w, bq::tier::precise); }) == bq::errc::invalid_argument);
  const auto fast = mover.upload(w, bq::tier::fast);
  CHECK(fast.tier() == bq::tier::fast);
  CHECK(code([&] { mover.download(fast, blocks); }) == bq::errc::invalid_argument);
  const device::array<std::byte> memory(bq::cuda::activation_bytes(1, 64));
  const device::array<float> y(1);
  CHECK(code([&] { bq::cuda::matmul(fast, {memory.get(), 1, 64}, y.get()); }) == bq::errc::invalid_argument);
}
