// Rotary positions: both pairings against complex f64 rotation, every scaling against its formula, equal on every
// instruction set.
#include <array>
#include <blockquant/error.hpp>
#include <cmath>
#include <complex>
#include <numbers>

#include "inputs.hpp"

namespace {

using namespace test_ops;

const std::vector<std::int64_t> positions{0, 1, 5, 511, 100000};

double angle(const bq::rope_table& t, std::size_t position, std::size_t pair) {
  const std::size_t i =
      position * static_cast<std::size_t>(t.dims) +
      (t.pairing == bq::rope_pairing::adjacent ? 2 * pair + 1 : pair + static_cast<std::size_t>(t.dims / 2));
  return std::atan2(static_cast<double>(t.sine[i]), static_cast<double>(t.cosine[i]));
}

}  // namespace

TEST_CASE("rope turns pairs as complex numbers") {
  for (const std::size_t dims : {2u, 6u, 32u, 64u, 80u}) {
    for (const auto pairing : {bq::rope_pairing::adjacent, bq::rope_pairing::halves}) {
      const std::size_t heads = 3, head_dim = dims + 5;
      const auto x = normal(positions.size() * heads * head_dim, 7);
      const auto table =
          bq::make_rope_table({.pairing = pairing, .dims = static_cast<std::int64_t>(dims), .base = 5e5}, positions);
      const auto y = on_every_isa([&](const bq::ops_options& o) {
        auto copy = x;
        bq::apply_rope(copy, heads, static_cast<std::int64_t>(head_dim), table, o);
        return copy;
      });
      double worst = 0;
      for (std::size_t row = 0; row < positions.size() * heads; ++row) {
        const float *from = &x[row * head_dim], *to = &y[row * head_dim];
        for (std::size_t i = 0; i < dims / 2; ++i) {
          const bool adjacent = pairing == bq::rope_pairing::adjacent;
          const std::size_t a = adjacent ? 2 * i : i, b = adjacent ? a + 1 : i + dims / 2;
          const double turn = static_cast<double>(positions[row / heads]) *
                              std::pow(5e5, -2.0 * static_cast<double>(i) / static_cast<double>(dims));
          const auto exact = std::complex<double>(from[a], from[b]) * std::polar(1.0, turn);
          // Two rounded factors, a product and a fused sum.
          const double bound = std::abs(exact) * 4 * 0x1p-24;
          worst = std::max({worst, std::abs(to[a] - exact.real()) / bound, std::abs(to[b] - exact.imag()) / bound});
        }
        for (std::size_t i = dims; i < head_dim; ++i) CHECK(to[i] == from[i]);
      }
      CHECK(worst <= 1);
    }
  }
}

TEST_CASE("rope with threads equals rope without") {
  std::vector<std::int64_t> many(1000);
  for (std::size_t i = 0; i < many.size(); ++i) many[i] = static_cast<std::int64_t>(i * 3);
  const auto table = bq::make_rope_table({.dims = 64}, many);
  const auto x = normal(many.size() * 4 * 64, 8);
  auto one = x, three = x;
  bq::apply_rope(one, 4, 64, table);
  bq::thread_pool threads(3);
  bq::apply_rope(three, 4, 64, table, {.threads = &threads});
  CHECK(same_bits(one, three));
}

TEST_CASE("frequencies are scaled linearly, by factors, and by YaRN") {
  const std::vector<std::int64_t> one{1};
  const auto plain = bq::make_rope_table({.dims = 64}, one);
  const auto linear = bq::make_rope_table({.dims = 64, .scaling = bq::rope_scaling::linear, .factor = 4}, one);
  std::vector<float> factors(32);
  for (std::size_t i = 0; i < 32; ++i) factors[i] = 1.0f + static_cast<float>(i);
  const auto llama3 = bq::make_rope_table({.dims = 64, .factors = factors}, one);
  const bq::rope_options yarn_options{
      .dims = 64, .scaling = bq::rope_scaling::yarn, .factor = 4, .original_context = 2048};
  const auto yarn = bq::make_rope_table(yarn_options, one);
  const double size = 1 + 0.1 * std::log(4.0);
  for (std::size_t i = 0; i < 32; ++i) {
    const double frequency = angle(plain, 0, i);
    CHECK(angle(linear, 0, i) == doctest::Approx(frequency / 4));
    CHECK(angle(llama3, 0, i) == doctest::Approx(frequency / factors[i]));
    CHECK(std::hypot(yarn.cosine[i], yarn.sine[i]) == doctest::Approx(size));
    // In 2048 tokens pair 8.06 turns 32 times and pair 20.1 once: 8 and 21 after rounding.
    const double share = std::min(1.0, std::max(0.0, (static_cast<double>(i) - 8) / (21 - 8)));
    CHECK(angle(yarn, 0, i) == doctest::Approx(frequency * (1 - share) + frequency / 4 * share));
  }
}

TEST_CASE("impossible rotations are errors") {
  const std::vector<std::int64_t> one{1};
  const std::array<float, 3> factors{1, 1, 1};
  using enum bq::errc;
  CHECK(code_of([&] { bq::make_rope_table({.dims = 3}, one); }) == invalid_argument);
  CHECK(code_of([&] { bq::make_rope_table({.dims = 0}, one); }) == invalid_argument);
  CHECK(code_of([&] { bq::make_rope_table({.dims = 4, .base = std::nan("")}, one); }) == invalid_argument);
  CHECK(code_of([&] { bq::make_rope_table({.dims = 4, .factor = 0}, one); }) == invalid_argument);
  CHECK(code_of([&] { bq::make_rope_table({.dims = 4, .scaling = bq::rope_scaling::yarn}, one); }) == invalid_argument);
  CHECK(code_of([&] { bq::make_rope_table({.dims = 4, .factors = factors}, one); }) == bad_shape);
  const auto table = bq::make_rope_table({.dims = 4}, one);
  std::vector<float> x(8);
  CHECK(code_of([&] { bq::apply_rope(x, 1, 4, table); }) == bad_shape);
  CHECK(code_of([&] { bq::apply_rope(x, 4, 2, table); }) == bad_shape);
}
