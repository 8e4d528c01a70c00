// quantize_tokens on every instruction set: against its definition in f64, at odd sizes, beside pages that must not be
// touched, with any threads, and defined for every input.
#include <bit>
#include <blockquant/error.hpp>
#include <cmath>
#include <limits>

#include "../guarded.hpp"
#include "inputs.hpp"

namespace {

using namespace test_ops;

struct quantised {
  std::vector<std::int8_t> codes;
  std::vector<float> scales;
  bool operator==(const quantised& o) const { return codes == o.codes && same_bits(scales, o.scales); }
};

quantised quantise(const std::vector<float>& values, std::int64_t tokens, std::int64_t cols, const bq::ops_options& o) {
  const test::guarded<float> x(values.size()), scales(static_cast<std::size_t>(tokens));
  const test::guarded<std::int8_t> codes(values.size());
  std::copy(values.begin(), values.end(), x.span().begin());
  std::fill(codes.span().begin(), codes.span().end(), std::int8_t{-128});
  bq::quantize_tokens(x.span(), tokens, cols, codes.span(), scales.span(), o);
  return {{codes.span().begin(), codes.span().end()}, {scales.span().begin(), scales.span().end()}};
}

// The scalar one's, once all others are found to be the same.
quantised on_all(const std::vector<float>& x, std::int64_t tokens, std::int64_t cols) {
  const quantised expected = quantise(x, tokens, cols, {.isa = "scalar"});
  bq::thread_pool threads(3);
  for (const std::string_view isa : bq::isas()) {
    INFO(std::string(isa));
    CHECK(quantise(x, tokens, cols, {.isa = isa}) == expected);
    CHECK(quantise(x, tokens, cols, {.threads = &threads, .isa = isa}) == expected);
  }
  return expected;
}

}  // namespace

TEST_CASE("codes and scales are those of the definition, up to f32's rounding") {
  for (const std::int64_t cols : {1, 2, 7, 15, 16, 31, 32, 33, 63, 64, 100, 511, 4096}) {
    for (const float sigma : {1e-20f, 1e-3f, 1.0f, 6e4f}) {
      const std::int64_t tokens = cols > 1000 ? 40 : 5;
      const auto x = normal(static_cast<std::size_t>(tokens * cols), static_cast<unsigned>(cols), sigma);
      const quantised q = on_all(x, tokens, cols);
      double worst_code = 0, worst_scale = 0;
      bool reaches_127 = true;
      for (std::int64_t t = 0; t < tokens; ++t) {
        const auto at = [&](std::int64_t c) { return static_cast<std::size_t>(t * cols + c); };
        double top = 0;
        int largest = 0;
        for (std::int64_t c = 0; c < cols; ++c) top = std::max(top, std::abs(static_cast<double>(x[at(c)])));
        for (std::int64_t c = 0; c < cols; ++c) {
          worst_code = std::max(worst_code, std::abs(q.codes[at(c)] - x[at(c)] * 127.0 / top));
          largest = std::max(largest, std::abs(static_cast<int>(q.codes[at(c)])));
        }
        worst_scale = std::max(worst_scale, std::abs(q.scales[static_cast<std::size_t>(t)] * 127.0 / top - 1));
        reaches_127 = reaches_127 && largest == 127;
      }
      CHECK(worst_code <= 0.5 + 127 * 0x1p-23);  // two roundings before the last one
      CHECK(worst_scale <= 0x1p-24);
      CHECK(reaches_127);
    }
  }
}

TEST_CASE("halves go to the even code, and to no other on any instruction set") {
  std::vector<float> x{127.0f};
  for (int i = 0; i < 100; ++i) x.push_back(static_cast<float>(i) - 49.5f);
  const quantised q = on_all(x, 1, 101);
  CHECK(q.scales[0] == 1.0f);
  bool even = true;
  for (std::size_t i = 1; i < x.size(); ++i) even = even && q.codes[i] == std::nearbyint(x[i]) && q.codes[i] % 2 == 0;
  CHECK(even);
}

TEST_CASE("NaN, infinity, zeros and the tiniest values are defined, and stay with their token") {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  constexpr std::int64_t cols = 45;
  const auto clean = normal(7 * cols, 3);
  const quantised expected = on_all(clean, 7, cols);
  for (const std::size_t where : {0u, 31u, 44u}) {
    auto x = clean;
    x[0 * cols + where] = nan;
    x[1 * cols + where] = -nan;
    x[2 * cols + where] = inf;
    x[3 * cols + where] = -inf;
    std::fill_n(x.begin() + 4 * cols, cols, -0.0f);
    std::fill_n(x.begin() + 5 * cols, cols, std::numeric_limits<float>::denorm_min());
    x[5 * cols + where] = std::nextafter(0x1p-100f, 0.0f);
    const quantised q = on_all(x, 7, cols);
    for (std::size_t t = 0; t < 4; ++t) CHECK(std::isnan(q.scales[t]));
    for (std::size_t t = 4; t < 6; ++t) CHECK(std::bit_cast<std::uint32_t>(q.scales[t]) == 0);
    CHECK(std::all_of(q.codes.begin(), q.codes.begin() + 6 * cols, [](std::int8_t c) { return c == 0; }));
    CHECK(q.scales[6] == expected.scales[6]);
    CHECK(std::equal(q.codes.begin() + 6 * cols, q.codes.end(), expected.codes.begin() + 6 * cols));
  }
}

TEST_CASE("sizes that do not agree are errors") {
  std::vector<float> x(12), scales(3);
  std::vector<std::int8_t> codes(12);
  const auto code = [&](std::int64_t tokens, std::int64_t cols) {
    return code_of([&] { bq::quantize_tokens(x, tokens, cols, codes, scales); });
  };
  using enum bq::errc;
  CHECK_NOTHROW(bq::quantize_tokens(x, 3, 4, codes, scales));
  CHECK_NOTHROW(bq::quantize_tokens({}, 0, 4, {}, {}));
  CHECK(code(4, 3) == bad_shape);
  CHECK(code(3, 5) == bad_shape);
  CHECK(code(-3, -4) == bad_shape);
  CHECK(code(12, 0) == bad_shape);
  CHECK(code(INT64_MAX, 4) == bad_shape);
  codes.resize(11);
  CHECK(code(3, 4) == bad_shape);
}
