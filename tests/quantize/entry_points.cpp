// quantize, dequantize and check_blocks for every type of the registry: the same bytes for any division of the work,
// every alignment of the buffers, and a clear error for every misuse.
#include <doctest/doctest.h>

#include <blockquant/quantize.hpp>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace {

constexpr std::int64_t rows = 37, cols = 512;

std::vector<float> normal(std::int64_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  std::vector<float> x(static_cast<std::size_t>(n));
  for (float& v : x) v = normal(random);
  return x;
}

std::vector<float> positive(std::int64_t n, unsigned seed) {
  auto x = normal(n, seed);
  for (float& v : x) v = std::abs(v) + 1e-3f;
  return x;
}

std::vector<std::byte> quantized(bq::type t, std::span<const float> x, std::int64_t n_rows,
                                 const bq::quantize_options& options = {}) {
  std::vector<std::byte> out(static_cast<std::size_t>(n_rows) * bq::row_bytes(t, cols));
  bq::quantize(t, x, n_rows, cols, out, options);
  return out;
}

template <class Call>
bq::error_info thrown(const Call& call) {
  try {
    call();
  } catch (const bq::error& e) {
    return e.info();
  }
  FAIL("nothing was thrown");
  return {};
}

}  // namespace

TEST_CASE("bytes do not depend on threads, on how rows are divided between calls, or on the executor") {
  const auto x = normal(rows * cols, 1);
  const auto importance = positive(cols, 2);
  for (const bq::type_info& t : bq::types()) {
    if (!bq::can_quantize(t.id, cols)) continue;
    INFO(std::string(t.name));
    for (const std::span<const float> weight : {std::span<const float>{}, std::span<const float>(importance)}) {
      const auto expected = quantized(t.id, x, rows, {.importance = weight});
      for (const int threads : {1, 2, 7}) {
        bq::thread_pool pool(threads);
        CHECK(quantized(t.id, x, rows, {.importance = weight, .threads = &pool}) == expected);
        std::vector<float> one(x.size()), many(x.size());
        bq::dequantize(t.id, expected, rows, cols, one);
        bq::dequantize(t.id, expected, rows, cols, many, &pool);
        CHECK(one == many);
      }
      const std::size_t stride = bq::row_bytes(t.id, cols);
      for (const std::int64_t step : {1, 5, 36}) {
        std::vector<std::byte> parts(expected.size());
        for (std::int64_t r = 0; r < rows; r += step) {
          const std::int64_t n = std::min(step, rows - r);
          bq::quantize(
              t.id, std::span(x).subspan(static_cast<std::size_t>(r * cols), static_cast<std::size_t>(n * cols)), n,
              cols,
              std::span(parts).subspan(static_cast<std::size_t>(r) * stride, static_cast<std::size_t>(n) * stride),
              {.importance = weight});
        }
        CHECK(parts == expected);
      }
    }
  }
}

TEST_CASE("importance changes the bytes of exactly those types that say so") {
  const auto x = normal(rows * cols, 3);
  const auto importance = positive(cols, 4);
  for (const bq::type_info& t : bq::types()) {
    INFO(std::string(t.name));
    CHECK((quantized(t.id, x, rows) != quantized(t.id, x, rows, {.importance = importance})) == t.uses_importance);
  }
}

TEST_CASE("blocks may lie at any address") {
  const auto x = normal(cols, 5);
  for (const bq::type_info& t : bq::types()) {
    INFO(std::string(t.name));
    const auto expected = quantized(t.id, x, 1);
    std::vector<float> plain(x.size()), shifted(x.size());
    bq::dequantize(t.id, expected, 1, cols, plain);
    for (std::size_t shift = 0; shift < 8; ++shift) {
      std::vector<std::byte> room(expected.size() + shift);
      const auto blocks = std::span(room).subspan(shift);
      bq::quantize(t.id, x, 1, cols, blocks);
      CHECK(std::equal(blocks.begin(), blocks.end(), expected.begin()));
      bq::dequantize(t.id, blocks, 1, cols, shifted);
      CHECK(shifted == plain);
      CHECK(bq::check_blocks(t.id, blocks) == -1);
    }
  }
}

TEST_CASE("weights that are not finite are named by row and column, whatever the thread") {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    auto x = normal(rows * cols, 6);
    x[static_cast<std::size_t>(7 * cols + 300)] = bad;
    x[static_cast<std::size_t>(30 * cols + 1)] = bad;
    bq::thread_pool pool(3);
    for (const bq::type_info& t : bq::types()) {
      INFO(std::string(t.name));
      const auto e = thrown([&] { quantized(t.id, x, rows, {.threads = &pool}); });
      CHECK(e.code == bq::errc::not_finite);
      CHECK(e.message.find("row 7, column 300") != std::string::npos);
    }
  }
}

TEST_CASE("a scale that overflows f16 is an error, not an infinite block") {
  std::vector<float> x(static_cast<std::size_t>(cols), 1.0f);
  x[300] = -1e9f;
  std::vector<std::byte> out(bq::row_bytes(bq::type::q4_0, cols));
  const auto e = thrown([&] { bq::quantize(bq::type::q4_0, x, 1, cols, out); });
  CHECK(e.code == bq::errc::out_of_range);
  CHECK(e.message.find("row 0, column 288") != std::string::npos);
  out.resize(bq::row_bytes(bq::type::f16, cols));
  CHECK(thrown([&] { bq::quantize(bq::type::f16, x, 1, cols, out); }).code == bq::errc::out_of_range);
  out.resize(bq::row_bytes(bq::type::bf16, cols));
  CHECK_NOTHROW(bq::quantize(bq::type::bf16, x, 1, cols, out));
}

TEST_CASE("check_blocks finds the first block that cannot be computed with") {
  const auto x = normal(cols, 7);
  auto blocks = quantized(bq::type::q8_0, x, 1);
  blocks[34 * 5 + 1] = std::byte{0x7c};  // exponent of block 5's d
  CHECK(bq::check_blocks(bq::type::q8_0, blocks) == 5);
  CHECK(bq::check_blocks(bq::type::q8_0, std::span(blocks).first(34 * 5)) == -1);
  CHECK(thrown([&] { bq::check_blocks(bq::type::q8_0, std::span(blocks).first(33)); }).code == bq::errc::bad_shape);
}

TEST_CASE("check_blocks finds infinities and NaN among floats, wherever they are, and takes the largest number") {
  constexpr auto count = static_cast<std::size_t>(2 * cols);
  for (const auto& [type, most] : {std::pair{bq::type::f32, 0x1.fffffep127f}, std::pair{bq::type::f16, 65504.0f},
                                   std::pair{bq::type::bf16, 0x1.fep127f}}) {
    const std::vector<float> x(count, -most);
    const auto good = quantized(type, x, 2);
    const std::size_t size = good.size() / count;
    CHECK(bq::check_blocks(type, good) == -1);
    for (const std::size_t at : {std::size_t{0}, std::size_t{255}, std::size_t{256}, std::size_t{700}, count - 1}) {
      for (const int fraction : {0x00, 0x01}) {  // infinity, NaN
        auto blocks = good;
        const bool half = type == bq::type::f16;
        blocks[at * size] = static_cast<std::byte>(fraction);
        if (size == 4) blocks[at * size + 1] = std::byte{0};
        blocks[(at + 1) * size - 2] = half ? static_cast<std::byte>(fraction) : std::byte{0x80};
        blocks[(at + 1) * size - 1] = half ? std::byte{0x7c} : std::byte{0x7f};
        CHECK(bq::check_blocks(type, blocks) == static_cast<std::int64_t>(at));
      }
    }
  }
}

TEST_CASE("misuse gives an error with numbers") {
  const auto x = normal(cols, 8);
  std::vector<std::byte> out(bq::row_bytes(bq::type::q4_K, cols));
  const auto code = [&](auto&& call) { return thrown(call).code; };
  using enum bq::errc;
  CHECK(code([&] { bq::quantize(static_cast<bq::type>(4711), x, 1, cols, out); }) == unknown_type);
  CHECK(code([&] { bq::quantize(bq::type::iq2_xs, x, 1, cols, out); }) == unknown_type);
  CHECK(code([&] { bq::quantize(bq::type::q4_K, x, 1, 320, out); }) == bad_shape);
  CHECK(code([&] { bq::quantize(bq::type::q4_K, x, 1, 0, out); }) == bad_shape);
  CHECK(code([&] { bq::quantize(bq::type::q4_K, x, 1, -256, out); }) == bad_shape);
  CHECK(code([&] { bq::quantize(bq::type::q4_K, x, -1, cols, out); }) == bad_shape);
  CHECK(code([&] { bq::quantize(bq::type::q4_K, x, 2, cols, out); }) == bad_shape);
  CHECK(code([&] { bq::quantize(bq::type::q4_K, x, 1, cols, std::span(out).first(10)); }) == bad_shape);
  CHECK(code([&] { bq::quantize(bq::type::q4_K, x, std::int64_t{1} << 62, cols, out); }) == bad_shape);
  CHECK(code([&] { bq::row_bytes(bq::type::f32, std::numeric_limits<std::int64_t>::max()); }) == out_of_range);
  std::vector<float> few(3);
  CHECK(code([&] { bq::dequantize(bq::type::q4_K, out, 1, cols, few); }) == bad_shape);
  std::vector<float> importance(static_cast<std::size_t>(cols), 1.0f);
  CHECK(code([&] { quantized(bq::type::q4_K, x, 1, {.importance = std::span(importance).first(9)}); }) ==
        bad_importance);
  importance[17] = -1.0f;
  CHECK(code([&] { quantized(bq::type::q4_K, x, 1, {.importance = importance}); }) == bad_importance);
  importance[17] = std::numeric_limits<float>::quiet_NaN();
  const auto e = thrown([&] { quantized(bq::type::q4_K, x, 1, {.importance = importance}); });
  CHECK(e.message.find("column 17") != std::string::npos);
  CHECK_NOTHROW(bq::quantize(bq::type::q4_K, {}, 0, cols, {}));
}

TEST_CASE("types are found by id and by name in any case") {
  for (const bq::type_info& t : bq::types()) {
    CHECK(bq::find_type(t.id) == &t);
    CHECK(bq::find_type(t.name) == &t);
    std::string upper(t.name);
    for (char& c : upper) c = static_cast<char>(std::toupper(c));
    CHECK(bq::find_type(std::string_view(upper)) == &t);
    CHECK(bq::can_quantize(t.id, t.block_size));
    CHECK_FALSE(bq::can_quantize(t.id, 0));
    CHECK(bq::can_quantize(t.id, t.block_size + 1) == (t.block_size == 1));
  }
  CHECK(bq::find_type("q4") == nullptr);
  CHECK(bq::find_type("") == nullptr);
  CHECK(bq::find_type(bq::type::i32) == nullptr);
  CHECK(thrown([] { bq::info(static_cast<bq::type>(99)); }).code == bq::errc::unknown_type);
}
