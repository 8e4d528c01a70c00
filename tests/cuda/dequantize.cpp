// GPU decoding against the CPU's, bit for bit, for every type: random blocks, whose scales may be NaN or infinite, at
// shapes around the kernel's tiles. Without a GPU the one thing to test is that this state is an ordinary error.
#include <bit>
#include <blockquant/cuda_ops.hpp>
#include <blockquant/quantize.hpp>
#include <cmath>
#include <string>

#include "device.hpp"
#include "formats/float16.hpp"

namespace {

// `shift` moves the blocks away from aligned addresses.
std::vector<float> decode_on_device(bq::type id, const std::vector<std::byte>& blocks, std::int64_t rows,
                                    std::int64_t cols, std::size_t shift) {
  const device::array<std::byte> in(blocks.size() + shift);
  const device::array<float> out(static_cast<std::size_t>(rows * cols));
  REQUIRE(cudaMemcpy(in.get() + shift, blocks.data(), blocks.size(), cudaMemcpyHostToDevice) == cudaSuccess);
  bq::cuda::dequantize(id, in.get() + shift, rows, cols, out.get());
  return out.read();
}

// Index of the first weight whose bits differ, any NaN being equal to any other; -1 if there is none.
std::ptrdiff_t first_difference(const std::vector<float>& a, const std::vector<float>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    const bool same = std::bit_cast<std::uint32_t>(a[i]) == std::bit_cast<std::uint32_t>(b[i]);
    if (!same && !(std::isnan(a[i]) && std::isnan(b[i]))) return static_cast<std::ptrdiff_t>(i);
  }
  return -1;
}

// As decode_on_device, to 16-bit floats; beside what the CPU's values round to.
struct rounded {
  std::vector<std::uint16_t> found, expected;
};
rounded decode_rounded(bq::type id, const std::vector<std::byte>& blocks, std::int64_t rows, std::int64_t cols,
                       bq::cuda::element to, const std::vector<float>& values) {
  const device::array<std::byte> in(blocks);
  const device::array<std::uint16_t> out(values.size());
  bq::cuda::dequantize(id, in.get(), rows, cols, to, out.get());
  rounded r{out.read(), {}};
  for (const float v : values)
    r.expected.push_back(to == bq::cuda::element::f16 ? bq::f16_from_f32(v) : bq::bf16_from_f32(v));
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::isnan(values[i])) {
      const float back = to == bq::cuda::element::f16 ? bq::f16_to_f32(r.found[i]) : bq::bf16_to_f32(r.found[i]);
      if (std::isnan(back)) r.found[i] = r.expected[i];
    }
  }
  return r;
}

}  // namespace

TEST_CASE("random blocks of every type decode to the CPU's bits") {
  if (device::missing()) return;
  std::mt19937 random(20);
  for (const bq::type_info& t : bq::types()) {
    CAPTURE(std::string(t.name));
    for (const std::int64_t row_blocks : {1, 3, 100}) {
      for (const std::int64_t rows : {1, 5, 257}) {
        const std::int64_t cols = row_blocks * t.block_size;
        std::vector<std::byte> blocks(static_cast<std::size_t>(rows * row_blocks) * t.block_bytes);
        for (std::byte& b : blocks) b = static_cast<std::byte>(random());
        std::vector<float> expected(static_cast<std::size_t>(rows * cols));
        bq::dequantize(t.id, blocks, rows, cols, expected);
        for (const std::size_t shift : {0, 1, 2}) {
          CAPTURE(shift);
          if (shift != 0 && t.block_size == 1) continue;  // plain floats lie where floats do
          CHECK(first_difference(decode_on_device(t.id, blocks, rows, cols, shift), expected) == -1);
        }
        for (const auto to : {bq::cuda::element::f16, bq::cuda::element::bf16}) {
          const auto r = decode_rounded(t.id, blocks, rows, cols, to, expected);
          CHECK(r.found == r.expected);
        }
      }
    }
  }
}

TEST_CASE("quantised weights of every type decode to the CPU's bits") {
  if (device::missing()) return;
  constexpr std::int64_t rows = 64, cols = 1024;
  std::mt19937 random(21);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  std::vector<float> weights(rows * cols);
  for (float& w : weights) w = normal(random);
  for (const bq::type_info& t : bq::types()) {
    CAPTURE(std::string(t.name));
    if (!bq::can_quantize(t.id, cols)) continue;
    std::vector<std::byte> blocks(rows * bq::row_bytes(t.id, cols));
    bq::quantize(t.id, weights, rows, cols, blocks);
    std::vector<float> expected(weights.size());
    bq::dequantize(t.id, blocks, rows, cols, expected);
    CHECK(first_difference(decode_on_device(t.id, blocks, rows, cols, 0), expected) == -1);
  }
}

TEST_CASE("what is wrong with a call is said before the device is asked") {
  alignas(16) float out[64];
  const std::byte blocks[64] = {};
  const auto code = [&](bq::type t, const void* in, std::int64_t rows, std::int64_t cols, float* to) {
    try {
      bq::cuda::dequantize(t, in, rows, cols, to);
    } catch (const bq::error& e) {
      return e.code();
    }
    return bq::errc::io;
  };
  CHECK(code(static_cast<bq::type>(4711), blocks, 1, 32, out) == bq::errc::unknown_type);
  CHECK(code(bq::type::q8_0, blocks, 1, 33, out) == bq::errc::bad_shape);
  CHECK(code(bq::type::q8_0, blocks, -1, 32, out) == bq::errc::bad_shape);
  CHECK(code(bq::type::q8_0, nullptr, 1, 32, out) == bq::errc::invalid_argument);
  CHECK(code(bq::type::q8_0, blocks, 1, 32, out + 1) == bq::errc::invalid_argument);
  CHECK(code(bq::type::q8_0, blocks, std::int64_t{1} << 60, 32, out) == bq::errc::out_of_range);
  if (bq::cuda::device_count() == 0) CHECK(code(bq::type::q8_0, blocks, 1, 32, out) == bq::errc::device);
}
