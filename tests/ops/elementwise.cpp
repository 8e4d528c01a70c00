// Norms and gated activations of every instruction set: against f64 with derived bounds, equal bit for bit, whatever
// the threads, and defined for every input.
#include <bit>
#include <blockquant/error.hpp>
#include <cmath>
#include <limits>
#include <numbers>

#include "inputs.hpp"

namespace {

using namespace test_ops;

double silu(double x) { return x / (1 + std::exp(-x)); }
double gelu_turn(double x) { return 2 * std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x); }

std::vector<float> gated(bq::activation f, const std::vector<float>& gate, const std::vector<float>& up,
                         const bq::ops_options& o) {
  std::vector<float> out(gate.size());
  bq::gated(f, gate, up, out, o);
  return out;
}

// Every finite float's neighbourhood: steps of 2^-8 in the exponent's logarithm, both signs.
std::vector<float> all_sizes() {
  std::vector<float> x;
  for (std::uint32_t bits = 0; bits < 0x7f800000u; bits += 0x7fff) {
    x.push_back(std::bit_cast<float>(bits));
    x.push_back(std::bit_cast<float>(bits | 0x80000000u));
  }
  return x;
}

}  // namespace

TEST_CASE("silu and gelu keep their bounds for floats of every size") {
  const std::vector<float> x = all_sizes(), ones(x.size(), 1.0f);
  const auto s = on_every_isa([&](const bq::ops_options& o) { return gated(bq::activation::silu, x, ones, o); });
  const auto g = on_every_isa([&](const bq::ops_options& o) { return gated(bq::activation::gelu, x, ones, o); });
  double worst_silu = 0, worst_gelu = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double v = x[i], turn = gelu_turn(v);
    const double exact = silu(v), bound = std::abs(exact) * 0x1p-21 + 0x1p-119;
    worst_silu = std::max(worst_silu, std::abs(s[i] - exact) / bound);
    const double exact_gelu = v / (1 + std::exp(-turn));
    const double share = turn < 0 ? std::min(1.0, 1 / (1 + std::exp(turn))) : 1 / (1 + std::exp(turn));
    const double bound_gelu =
        std::abs(exact_gelu) * (0x1p-21 + std::min(std::abs(turn), 100.0) * share * 0x1p-22) + 0x1p-119;
    worst_gelu = std::max(worst_gelu, std::abs(g[i] - exact_gelu) / bound_gelu);
  }
  MESSAGE("shares of the bounds: silu " << worst_silu << ", gelu " << worst_gelu);
  CHECK(worst_silu <= 1);
  CHECK(worst_gelu <= 1);
}

TEST_CASE("gated activations multiply, at odd sizes, in place, with any threads") {
  for (const std::size_t n : {std::size_t{1}, std::size_t{15}, std::size_t{16}, std::size_t{33}, std::size_t{100001}}) {
    const auto gate = normal(n, 1, 3.0f), up = normal(n, 2);
    const auto expected = on_every_isa([&](bq::ops_options o) { return gated(bq::activation::silu, gate, up, o); });
    bq::thread_pool threads(3);
    CHECK(same_bits(gated(bq::activation::silu, gate, up, {.threads = &threads}), expected));
    auto in_place = gate;
    bq::gated(bq::activation::silu, in_place, up, in_place);
    CHECK(same_bits(in_place, expected));
    bool close = true;
    for (std::size_t i = 0; i < n; ++i) {
      const double exact = silu(gate[i]) * up[i];
      close = close && std::abs(expected[i] - exact) <= std::abs(exact) * 0x1p-20;
    }
    CHECK(close);
  }
}

TEST_CASE("activations of NaN and infinity") {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  for (const std::string_view isa : bq::isas()) {
    for (const auto f : {bq::activation::silu, bq::activation::gelu}) {
      const auto y = gated(f, {inf, -100.0f, 0.0f, nan}, {1, 1, 1, 1}, {.isa = isa});
      CHECK(y[0] == inf);
      CHECK(std::abs(y[1]) < 1e-30f);
      CHECK(y[2] == 0.0f);
      CHECK(std::isnan(y[3]));
    }
  }
}

TEST_CASE("soft_cap keeps its bound") {
  const auto x = all_sizes();
  for (const float limit : {30.0f, 50.0f}) {
    const auto y = on_every_isa([&](const bq::ops_options& o) {
      auto copy = x;
      bq::soft_cap(copy, limit, o);
      return copy;
    });
    double worst = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      worst = std::max(worst, std::abs(y[i] - limit * std::tanh(static_cast<double>(x[i]) / limit)));
    }
    CHECK(worst <= limit * 0x1p-21);
  }
}

// A square passes through at most cols / 16 + 5 roundings of its lane's sum, halved by the root; mean, epsilon, root,
// quotient and two products follow.
TEST_CASE("rms_norm with and without residual agrees with f64") {
  for (const std::size_t cols : {std::size_t{1}, std::size_t{7}, std::size_t{64}, std::size_t{100}, std::size_t{577}}) {
    const std::size_t rows = 70;
    const auto x = normal(rows * cols, 3, 20.0f), residual = normal(rows * cols, 4), weight = normal(cols, 5);
    const double bound = (static_cast<double>(cols) / 16 + 5) / 2 * 0x1p-24 + 6 * 0x1p-24;
    for (const bool add : {false, true}) {
      const std::span<const float> added = add ? std::span<const float>(residual) : std::span<const float>();
      const auto result = on_every_isa([&](const bq::ops_options& o) {
        auto sum = x;
        std::vector<float> y(x.size());
        bq::rms_norm(sum, added, weight, 1e-5f, y, o);
        y.insert(y.end(), sum.begin(), sum.end());
        return y;
      });
      double worst = 0;
      for (std::size_t r = 0; r < rows; ++r) {
        double squares = 0;
        for (std::size_t c = 0; c < cols; ++c) {
          const float v = add ? x[r * cols + c] + residual[r * cols + c] : x[r * cols + c];
          CHECK(result[rows * cols + r * cols + c] == v);
          squares += static_cast<double>(v) * v;
        }
        const double scale = 1 / std::sqrt(squares / static_cast<double>(cols) + 1e-5f);
        for (std::size_t c = 0; c < cols; ++c) {
          const double exact = static_cast<double>(result[rows * cols + r * cols + c]) * scale * weight[c];
          worst = std::max(worst, std::abs(result[r * cols + c] - exact) / std::max(std::abs(exact), 1e-30));
        }
      }
      CHECK(worst <= bound);

      bq::thread_pool threads(3);
      auto sum = x;
      std::vector<float> y(x.size());
      bq::rms_norm(sum, added, weight, 1e-5f, y, {.threads = &threads});
      y.insert(y.end(), sum.begin(), sum.end());
      CHECK(same_bits(y, result));
    }
    auto in_place = x;
    std::vector<float> beside(x.size());
    bq::rms_norm(in_place, {}, weight, 1e-5f, beside);
    bq::rms_norm(in_place, {}, weight, 1e-5f, in_place);
    CHECK(same_bits(in_place, beside));
  }
}

TEST_CASE("sizes that do not agree are errors") {
  std::vector<float> a(10), b(11);
  using enum bq::errc;
  CHECK(code_of([&] { bq::gated(bq::activation::silu, a, b, a); }) == bad_shape);
  CHECK(code_of([&] { bq::gated(bq::activation::gelu, a, a, b); }) == bad_shape);
  CHECK(code_of([&] { bq::rms_norm(a, {}, b, 0, a); }) == bad_shape);
  CHECK(code_of([&] { bq::rms_norm(a, b, a, 0, a); }) == bad_shape);
  CHECK(code_of([&] { bq::rms_norm(a, {}, {}, 0, a); }) == bad_shape);
  CHECK(code_of([&] { bq::soft_cap(a, 1, {.isa = "mmx"}); }) == invalid_argument);
  CHECK_NOTHROW(bq::gated(bq::activation::silu, {}, {}, {}));
}
