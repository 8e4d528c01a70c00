// Quantisers on the GPU against the golden bytes and the CPU's, for every type: weights of all kinds, from every type
// of floats, with and without importance; and into the slots of a cache.
#include <blockquant/cuda_ops.hpp>
#include <blockquant/quantize.hpp>
#include <cmath>
#include <limits>
#include <string>

#include "device.hpp"
#include "formats/bf16.hpp"
#include "formats/f16.hpp"
#include "tests/formats/rows.hpp"

namespace {

using bytes = std::vector<std::byte>;

bytes on_cpu(bq::type t, const std::vector<float>& x, std::int64_t cols, const std::vector<float>& importance = {}) {
  const auto rows = static_cast<std::int64_t>(x.size()) / cols;
  bytes out(static_cast<std::size_t>(rows) * bq::row_bytes(t, cols));
  bq::quantize(t, x, rows, cols, out, {.importance = importance});
  return out;
}

template <class T>
bytes on_gpu(bq::type t, bq::cuda::element from, const std::vector<T>& x, std::int64_t cols,
             const std::vector<float>& importance = {}) {
  const auto rows = static_cast<std::int64_t>(x.size()) / cols;
  const device::array<T> weights(x);
  const device::array<float> columns(importance);
  const device::array<std::byte> out(static_cast<std::size_t>(rows) * bq::row_bytes(t, cols));
  bq::cuda::quantize(t, from, weights.get(), rows, cols, out.get(),
                     {.importance = importance.empty() ? nullptr : columns.get()});
  return out.read();
}

std::vector<float> all_sizes(std::size_t n, unsigned seed) {
  std::mt19937 random(seed);
  auto x = device::normal(n, seed);
  for (std::size_t i = 0; i < n; i += 64) {
    const float scale = std::ldexp(1.0f, static_cast<int>(random() % 60) - 50);
    for (std::size_t k = i; k < i + 64; ++k) x[k] *= scale;
  }
  return x;
}

}  // namespace

TEST_CASE("the GPU's quantisers write the golden bytes") {
  if (device::missing()) return;
  constexpr std::int64_t cols = 1024;
  const auto x = rows::golden<float>("x.f32"), importance = rows::golden<float>("importance.f32");
  REQUIRE(x.size() == 24 * cols);
  for (const bq::type_info& t : bq::types()) {
    CAPTURE(std::string(t.name));
    const auto plain = on_gpu(t.id, bq::cuda::element::f32, x, cols),
               weighted = on_gpu(t.id, bq::cuda::element::f32, x, cols, importance);
    CHECK(plain == on_cpu(t.id, x, cols));
    CHECK(weighted == on_cpu(t.id, x, cols, importance));
    const auto expected = rows::golden<std::byte>(std::string(t.name) + ".bin");
    if (!expected.empty()) CHECK(plain == expected);
    const auto expected_weighted = rows::golden<std::byte>(std::string(t.name) + ".importance.bin");
    if (!expected_weighted.empty()) CHECK(weighted == expected_weighted);
  }
}

TEST_CASE("weights of all sizes and shapes become the CPU's bytes, from f32, f16 and bf16") {
  if (device::missing()) return;
  for (const bq::type_info& t : bq::types()) {
    CAPTURE(std::string(t.name));
    for (const std::int64_t row_blocks : {1, 3, 33}) {
      for (const std::int64_t rows : {1, 5, 67}) {
        CAPTURE(row_blocks);
        CAPTURE(rows);
        const std::int64_t cols = row_blocks * t.block_size;
        auto x = all_sizes(static_cast<std::size_t>((rows * cols + 63) / 64 * 64), 31);
        x.resize(static_cast<std::size_t>(rows * cols));
        auto importance = device::normal(static_cast<std::size_t>(cols), 32);
        for (float& v : importance) v = v * v;
        CHECK(on_gpu(t.id, bq::cuda::element::f32, x, cols) == on_cpu(t.id, x, cols));
        CHECK(on_gpu(t.id, bq::cuda::element::f32, x, cols, importance) == on_cpu(t.id, x, cols, importance));
        std::vector<std::uint16_t> half(x.size()), brain(x.size());
        auto from_half = x, from_brain = x;
        for (std::size_t i = 0; i < x.size(); ++i) {
          half[i] = bq::f16_from_f32(x[i]), from_half[i] = bq::f16_to_f32(half[i]);
          brain[i] = bq::bf16_from_f32(x[i]), from_brain[i] = bq::bf16_to_f32(brain[i]);
        }
        CHECK(on_gpu(t.id, bq::cuda::element::f16, half, cols) == on_cpu(t.id, from_half, cols));
        CHECK(on_gpu(t.id, bq::cuda::element::bf16, brain, cols) == on_cpu(t.id, from_brain, cols));
      }
    }
  }
}

TEST_CASE("the first weight that does not survive is told") {
  if (device::missing()) return;
  constexpr std::int64_t rows = 40, cols = 1024;
  for (const bq::type_info& t : bq::types()) {
    CAPTURE(std::string(t.name));
    const auto position = [&](const std::vector<float>& x) {
      const device::array<float> weights(x);
      const device::array<std::byte> out(rows * bq::row_bytes(t.id, cols));
      const device::array<unsigned long long> bad(std::vector<unsigned long long>{~0ull});
      bq::cuda::quantize(t.id, bq::cuda::element::f32, weights.get(), rows, cols, out.get(), {.first_bad = bad.get()});
      return bad.read()[0];
    };
    auto x = device::normal(rows * cols, 33);
    CHECK(position(x) == ~0ull);
    x[20001] = std::numeric_limits<float>::quiet_NaN();
    x[30003] = std::numeric_limits<float>::infinity();
    const auto block = 20001 / t.block_size * t.block_size;
    const auto found = position(x);
    CHECK((found == 20001 || found == block));
    if (t.id == bq::type::f32 || t.id == bq::type::bf16 || t.id == bq::type::q8_K) continue;
    if (t.id == bq::type::mxfp4 || t.id == bq::type::nvfp4) continue;  // no scale of theirs overflows
    auto large = device::normal(rows * cols, 34);
    large[12345] = 1e30f;
    CHECK(position(large) == 12345 / t.block_size * t.block_size);
  }
}

TEST_CASE("rows of keys and values are quantised into their slots, and negative slots are skipped") {
  if (device::missing()) return;
  constexpr std::int64_t tokens = 37, heads = 4, head_dim = 256, cols = heads * head_dim, slots = 64;
  const auto k = device::normal(tokens * cols, 35), v = device::normal(tokens * cols, 36);
  std::vector<std::int64_t> to(tokens);
  for (std::int64_t t = 0; t < tokens; ++t) to[static_cast<std::size_t>(t)] = t * 27 % slots;
  to[5] = -1, to[6] = slots, to[7] = -100;
  const device::array<float> keys(k), values(v);
  const device::array<std::int64_t> slot(to);
  for (const bq::type_info& kt : bq::types()) {
    for (const bq::type vt : {kt.id, bq::type::f16, bq::type::q8_0}) {
      CAPTURE(std::string(kt.name));
      const auto stride = [&](bq::type t) { return static_cast<std::size_t>(bq::row_bytes(t, cols)); };
      const device::array<std::byte> ck(slots * stride(kt.id)), cv(slots * stride(vt));
      auto expected_k = ck.read(), expected_v = cv.read();
      const auto place = [&](bq::type t, const std::vector<float>& x, bytes& cache) {
        const auto rows = on_cpu(t, x, cols);
        for (std::size_t i = 0; i < tokens; ++i) {
          if (to[i] < 0 || to[i] >= slots) continue;
          std::memcpy(cache.data() + static_cast<std::size_t>(to[i]) * stride(t), rows.data() + i * stride(t),
                      stride(t));
        }
      };
      place(kt.id, k, expected_k);
      place(vt, v, expected_v);
      bq::cuda::append({.keys_type = kt.id,
                        .values_type = vt,
                        .keys = ck.get(),
                        .values = cv.get(),
                        .slots = slots,
                        .kv_heads = heads,
                        .head_dim = head_dim},
                       bq::cuda::element::f32, keys.get(), values.get(), slot.get(), tokens);
      CHECK(ck.read() == expected_k);
      CHECK(cv.read() == expected_v);
    }
  }
}

TEST_CASE("impossible quantisation is an error before the device is asked") {
  alignas(16) float x[64] = {};
  alignas(16) std::byte out[256];
  using enum bq::errc;
  const auto code = [&](bq::type to, bq::cuda::element from, const void* in, std::int64_t rows, std::int64_t cols,
                        void* blocks) {
    return device::code_of([&] { bq::cuda::quantize(to, from, in, rows, cols, blocks); });
  };
  CHECK(code(static_cast<bq::type>(4711), bq::cuda::element::f32, x, 1, 32, out) == unknown_type);
  CHECK(code(bq::type::q8_0, bq::cuda::element::f32, x, 1, 31, out) == bad_shape);
  CHECK(code(bq::type::q8_0, bq::cuda::element::f32, x, -1, 32, out) == bad_shape);
  CHECK(code(bq::type::q8_0, bq::cuda::element::f32, nullptr, 1, 32, out) == invalid_argument);
  CHECK(code(bq::type::q8_0, bq::cuda::element::f32, reinterpret_cast<char*>(x) + 2, 1, 32, out) == invalid_argument);
  CHECK(code(bq::type::f16, bq::cuda::element::f32, x, 1, 32, reinterpret_cast<char*>(out) + 1) == invalid_argument);
  CHECK(code(bq::type::q8_0, bq::cuda::element::f32, x, std::int64_t{1} << 50, 32, out) == out_of_range);
  const std::int64_t slot = 0;
  const auto append = [&](bq::cuda::paged_cache c) {
    return device::code_of([&] { bq::cuda::append(c, bq::cuda::element::f32, x, x, &slot, 1); });
  };
  const bq::cuda::paged_cache good{.keys = out, .values = out, .slots = 16, .kv_heads = 1, .head_dim = 32};
  const auto with = [&](const auto& change) {
    auto c = good;
    change(c);
    return append(c);
  };
  CHECK(with([](auto& c) { c.kv_heads = 0; }) == bad_shape);
  CHECK(with([](auto& c) { c.head_dim = 4096; }) == bad_shape);
  CHECK(with([](auto& c) { c.keys_type = bq::type::q4_K; }) == bad_shape);
  CHECK(with([](auto& c) { c.values_type = bq::type::iq2_xs; }) == unknown_type);
  CHECK(with([](auto& c) { c.slots = 17; }) == bad_shape);
  CHECK(with([](auto& c) { c.keys = nullptr; }) == invalid_argument);
}
