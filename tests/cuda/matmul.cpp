// Products of few tokens on the GPU against f64 on the host, for every format, at odd shapes and with activations up to
// 6e4; the bound follows from the roundings that src/cuda/fragment.cuh names. Batches of any size, repeated runs,
// graphs and chains of kernels that overlap give the same bits.
#include <algorithm>
#include <bit>
#include <cmath>
#include <random>

#include "blockquant/quantize.hpp"
#include "device.hpp"
#include "formats/registry.hpp"
#include "src/cuda/row_factor.hpp"

namespace {

constexpr int most_tokens = 64;

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

// Tokens of magnitudes from 1e-6 to 6e4, and a token of zeros.
std::vector<float> make_activations(std::int64_t cols) {
  std::mt19937 random(77);
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  const float magnitudes[] = {1.0f, 6e4f, 1e-6f, 300.0f, 0.0f};
  std::vector<float> x(static_cast<std::size_t>(most_tokens * cols));
  for (std::size_t i = 0; i < x.size(); ++i)
    x[i] = uniform(random) * magnitudes[i / static_cast<std::size_t>(cols) % 5];
  return x;
}

// y of the `tokens` tokens from `first` on.
std::vector<float> product(const bq::cuda::device_matrix& w, const device::array<float>& x, std::int64_t first,
                           std::int64_t tokens) {
  const device::array<std::byte> memory(bq::cuda::activation_bytes(tokens, w.cols()));
  const bq::cuda::activations ready{memory.get(), tokens, w.cols()};
  const auto size = static_cast<std::size_t>(tokens * w.rows());
  const device::array<float> y(size);
  bq::cuda::prepare(x.get() + first * w.cols(), bq::cuda::element::f32, ready);
  bq::cuda::matmul(w, ready, y.get());
  return y.read();
}

bool same_bits(const float* a, const float* b, std::size_t n) {
  return std::equal(a, a + n, b, [](float p, float q) { return bq::f32_to_bits(p) == bq::f32_to_bits(q); });
}

void check_against_f64(const weights& w, const std::vector<float>& x, const std::vector<float>& y) {
  int wrong = 0;
  for (std::int64_t n = 0; n < most_tokens; ++n) {
    const float* token = x.data() + n * w.cols;
    double top = 0;
    for (std::int64_t k = 0; k < w.cols; ++k) top = std::max(top, std::abs(static_cast<double>(token[k])));
    for (std::int64_t row = 0; row < w.rows; ++row) {
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

}  // namespace

TEST_CASE_TEMPLATE_DEFINE("products agree with f64, and their bits do not depend on the batch", F, product_of) {
  if constexpr (!bq::activation_format<F>) {
    if (bq::cuda::device_count() == 0) return;
    CAPTURE(F::name);
    bq::cuda::transfer mover;
    constexpr std::int64_t block = F::block_size;
    const std::int64_t shapes[][2] = {{1, block},         {17, 3 * block}, {40, 1024},
                                      {15, 1024 + block}, {2120, 256},     {33, 5120 / block * block}};
    for (const auto& [rows, cols] : shapes) {
      CAPTURE(rows);
      CAPTURE(cols);
      const weights w = make_weights<F>(rows, cols, static_cast<unsigned>(rows));
      const bq::cuda::device_matrix on_device = mover.upload({F::id, rows, cols, w.blocks});
      const std::vector<float> x = make_activations(cols);
      const device::array device_x(x);
      const std::vector<float> y = product(on_device, device_x, 0, most_tokens);
      check_against_f64(w, x, y);
      CHECK(same_bits(product(on_device, device_x, 0, most_tokens).data(), y.data(), y.size()));
      for (const std::int64_t tokens : {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 31, 32, 33}) {
        const std::int64_t first = most_tokens - tokens - tokens % 3 * (tokens < 32 ? 1 : 0);
        const std::vector<float> part = product(on_device, device_x, first, tokens);
        CHECK(same_bits(part.data(), y.data() + first * rows, part.size()));
      }
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(product_of, bq::all_formats);

TEST_CASE("sums of more sections than shared memory holds at a time") {
  if (device::missing()) return;
  bq::cuda::transfer mover;
  const weights w = make_weights<bq::q4_0>(19, 40000, 3);
  const bq::cuda::device_matrix on_device = mover.upload({bq::type::q4_0, w.rows, w.cols, w.blocks});
  const std::vector<float> x = make_activations(w.cols);
  const device::array device_x(x);
  const std::vector<float> y = product(on_device, device_x, 0, most_tokens);
  check_against_f64(w, x, y);
  for (const std::int64_t tokens : {1, 9, 20}) {
    const std::vector<float> part = product(on_device, device_x, 5, tokens);
    CHECK(same_bits(part.data(), y.data() + 5 * w.rows, part.size()));
  }
}

TEST_CASE("activations in f16 and bf16 are those in f32") {
  if (device::missing()) return;
  bq::cuda::transfer mover;
  const weights w = make_weights<bq::q6_K>(64, 512, 5);
  const bq::cuda::device_matrix on_device = mover.upload({bq::type::q6_K, w.rows, w.cols, w.blocks});
  const std::int64_t tokens = 3;
  std::vector<float> wide;
  std::vector<std::uint16_t> half, brain;
  std::mt19937 random(9);
  for (std::int64_t i = 0; i < tokens * w.cols; ++i) {
    wide.push_back(static_cast<float>(static_cast<int>(random() % 255) - 127) / 64.0f);
    half.push_back(bq::f16_from_f32(wide.back()));
    brain.push_back(bq::bf16_from_f32(wide.back()));
  }
  const device::array x(wide);
  const auto expected = product(on_device, x, 0, tokens);
  const device::array<std::byte> memory(bq::cuda::activation_bytes(tokens, w.cols));
  const bq::cuda::activations ready{memory.get(), tokens, w.cols};
  const device::array<float> y(expected.size());
  const device::array<std::uint16_t> as_half(half), as_brain(brain);
  bq::cuda::prepare(as_half.get(), bq::cuda::element::f16, ready);
  bq::cuda::matmul(on_device, ready, y.get());
  CHECK(same_bits(y.read().data(), expected.data(), expected.size()));
  bq::cuda::prepare(as_brain.get(), bq::cuda::element::bf16, ready);
  bq::cuda::matmul(on_device, ready, y.get());
  CHECK(same_bits(y.read().data(), expected.data(), expected.size()));
}

TEST_CASE("a chain of products queued at once, or captured into a graph, equals one that waits after each") {
  if (device::missing()) return;
  bq::cuda::transfer mover;
  const std::int64_t size = 2048, tokens = 2;
  const weights w = make_weights<bq::q4_K>(size, size, 11);
  const bq::cuda::device_matrix on_device = mover.upload({bq::type::q4_K, size, size, w.blocks});
  const std::vector<float> start = make_activations(size);
  const auto count = static_cast<std::size_t>(tokens * size);
  const device::array<std::byte> memory(bq::cuda::activation_bytes(tokens, size));
  const bq::cuda::activations ready{memory.get(), tokens, size};
  const device::array<float> first(start), y(count);
  cudaStream_t s = nullptr;
  REQUIRE(cudaStreamCreate(&s) == cudaSuccess);
  const auto chain = [&](bool wait) {
    for (int i = 0; i < 12; ++i) {  // the outputs are the next activations, in the same memory
      bq::cuda::prepare(i == 0 ? first.get() : y.get(), bq::cuda::element::f32, ready, s);
      bq::cuda::matmul(on_device, ready, y.get(), s);
      if (wait) REQUIRE(cudaStreamSynchronize(s) == cudaSuccess);
    }
  };
  chain(true);
  const std::vector<float> expected = y.read();
  chain(false);
  CHECK(same_bits(y.read().data(), expected.data(), count));
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t ready_graph = nullptr;
  REQUIRE(cudaStreamBeginCapture(s, cudaStreamCaptureModeGlobal) == cudaSuccess);
  chain(false);
  REQUIRE(cudaStreamEndCapture(s, &graph) == cudaSuccess);
  REQUIRE(cudaGraphInstantiate(&ready_graph, graph, 0) == cudaSuccess);
  for (int i = 0; i < 3; ++i) REQUIRE(cudaGraphLaunch(ready_graph, s) == cudaSuccess);
  CHECK(same_bits(y.read().data(), expected.data(), count));
  cudaGraphExecDestroy(ready_graph);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(s);
}

TEST_CASE("what is wrong with a product is said before the device is asked") {
  const auto code = [](auto call) {
    try {
      call();
    } catch (const bq::error& e) {
      return e.code();
    }
    return bq::errc::io;
  };
  alignas(256) static std::byte memory[1];
  float y[1];
  const bq::cuda::device_matrix none;
  CHECK(code([] { bq::cuda::activation_bytes(-1, 32); }) == bq::errc::bad_shape);
  CHECK(code([] { bq::cuda::activation_bytes(1, 0); }) == bq::errc::bad_shape);
  CHECK(code([] { bq::cuda::activation_bytes(1, std::int64_t{1} << 40); }) == bq::errc::out_of_range);
  CHECK(code([&] { bq::cuda::matmul(none, {memory, 1, 32}, y); }) == bq::errc::bad_shape);
  CHECK(code([&] {
          bq::cuda::prepare(nullptr, bq::cuda::element::f32, {memory, 1, 32});
        }) == bq::errc::invalid_argument);
  CHECK(code([&] { bq::cuda::prepare(y, bq::cuda::element::f32, {nullptr, 1, 32}); }) == bq::errc::invalid_argument);
}
