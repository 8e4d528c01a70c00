// Quantising and decoding again: the error that each format promises, and finite results for every finite input whose
// scale its storage can hold. A format that is not in the registry (toy.hpp) passes the same tests.
#include <cmath>
#include <limits>

#include "rows.hpp"
#include "toy.hpp"

namespace {

using formats = decltype(std::tuple_cat(bq::all_formats{}, std::tuple<toy>{}));

constexpr std::size_t columns = 1024;

double squared_error(const std::vector<float>& x, const std::vector<float>& y, const float* weight = nullptr) {
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double error = static_cast<double>(x[i]) - static_cast<double>(y[i]);
    sum += error * error * (weight ? static_cast<double>(weight[i % columns]) : 1.0);
  }
  return sum;
}

double relative_error(const std::vector<float>& x, const std::vector<float>& y) {
  return std::sqrt(squared_error(x, y) / squared_error(x, std::vector<float>(x.size())));
}

bool all_finite(const std::vector<float>& x) {
  for (const float v : x) {
    if (!std::isfinite(v)) return false;
  }
  return true;
}

template <class F>
bool blocks_are_finite(const std::vector<typename F::block>& blocks) {
  for (const auto& b : blocks) {
    if (!bq::block_is_finite<F>(b)) return false;
  }
  return true;
}

template <class Value>
std::vector<float> row(Value value) {
  std::vector<float> x(columns);
  for (std::size_t i = 0; i < columns; ++i) x[i] = value(static_cast<int>(i));
  return x;
}

// A weight that every block can hold: near the end of f16, with room for minimums that a fit puts below the weights.
// Q8_1 stores the sum of 32.
template <class F>
constexpr float largest = std::is_same_v<F, bq::q8_1> ? 60000.0f / 32 : 60000.0f;

// Rows on which quantisers divide by zero, overflow or lose precision.
std::vector<std::vector<float>> edge_rows() {
  const float tiny = std::numeric_limits<float>::denorm_min();
  const auto noise = rows::normal(columns, 5);
  const auto scaled = [&](float s) { return row([&](int i) { return noise[static_cast<std::size_t>(i)] * s; }); };
  return {row([](int) { return 0.0f; }),
          row([](int) { return -0.0f; }),
          row([=](int i) { return i % 2 ? tiny : -tiny; }),
          row([=](int i) { return static_cast<float>(i % 7 - 3) * tiny; }),
          row([](int i) { return i % 3 ? 0.0f : 1e-40f; }),
          scaled(1e-40f),
          scaled(1e-38f),
          scaled(3e-16f),
          scaled(1e-8f),
          scaled(1e3f),
          row([](int) { return 1.0f; }),
          row([](int) { return -1.0f; }),
          row([](int) { return 0.1f; }),
          row([](int) { return -65504.0f; }),
          row([](int i) { return i % 2 ? 1.0f : -1.0f; }),
          row([](int i) { return i % 64 ? 0.0f : 3.0f; }),
          row([](int i) { return i % 256 ? 1e-6f : 100.0f; }),
          row([](int i) { return static_cast<float>(i); })};
}

}  // namespace

TEST_CASE_TEMPLATE_DEFINE("the error on Gaussian weights is what the format promises", F, gaussian_error) {
  const auto x = rows::normal(64 * columns, 3, 0.02f);
  const auto y = rows::decoded<F>(rows::blocks_of<F>(x));
  const double rmse = relative_error(x, y);
  CHECK(rmse <= static_cast<double>(F::max_rmse));
  CHECK(rmse >= 0.9 * static_cast<double>(F::max_rmse));
}
TEST_CASE_TEMPLATE_APPLY(gaussian_error, formats);

TEST_CASE_TEMPLATE_DEFINE("importance lowers the error that it weighs", F, importance_error) {
  if constexpr (bq::importance_format<F>) {
    auto importance = rows::normal(columns, 4);
    for (float& v : importance) v = std::exp(2 * v);
    double plain = 0, weighted = 0;
    for (unsigned seed = 0; seed < 16; ++seed) {
      const auto x = rows::normal(columns, 100 + seed);
      plain += squared_error(x, rows::decoded<F>(rows::blocks_of<F>(x)), importance.data());
      weighted += squared_error(x, rows::decoded<F>(rows::blocks_of<F>(x, importance.data())), importance.data());
    }
    CHECK(weighted < plain);
  }
}
TEST_CASE_TEMPLATE_APPLY(importance_error, formats);

TEST_CASE_TEMPLATE_DEFINE("edge rows decode to finite weights of the right size", F, edges) {
  const auto importance = row([](int i) { return i % 5 ? 1.0f : 0.0f; });
  for (auto x : edge_rows()) {
    for (float& v : x) v = std::clamp(v, -largest<F>, largest<F>);
    for (const float* weights : {static_cast<const float*>(nullptr), importance.data()}) {
      const auto blocks = rows::blocks_of<F>(x, weights);
      REQUIRE(blocks_are_finite<F>(blocks));
      const auto y = rows::decoded<F>(blocks);
      float top_x = 0, top_y = 0;
      for (std::size_t i = 0; i < columns; ++i) {
        CHECK(std::isfinite(y[i]));
        top_x = std::max(top_x, std::abs(x[i]));
        top_y = std::max(top_y, std::abs(y[i]));
      }
      CHECK(top_y <= 1.25f * top_x);
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(edges, formats);

TEST_CASE_TEMPLATE_DEFINE("zeros come back as zeros", F, zeros) {
  const std::vector<float> x(columns);
  CHECK(rows::decoded<F>(rows::blocks_of<F>(x)) == x);
}
TEST_CASE_TEMPLATE_APPLY(zeros, formats);

TEST_CASE_TEMPLATE_DEFINE("weights too large for the scale are seen, or stored", F, overflow) {
  constexpr bool saturates = std::is_same_v<F, bq::nvfp4>;  // at 2688: its tensors carry a factor of their own
  const auto importance = row([](int i) { return i % 3 ? 1.0f : 0.5f; });
  for (const float size : {largest<F>, 1e6f, 1e10f, 1e13f, 1e20f, 1e30f, 3e38f}) {
    auto x = rows::normal(columns, 6);
    for (float& v : x) v = std::clamp(v, -1.0f, 1.0f) * size;
    for (const float* weights : {static_cast<const float*>(nullptr), importance.data()}) {
      const auto blocks = rows::blocks_of<F>(x, weights);
      const bool finite = blocks_are_finite<F>(blocks);
      if (size == largest<F>) CHECK(finite);
      if (finite && !saturates)
        CHECK(relative_error(x, rows::decoded<F>(blocks)) <= 2 * static_cast<double>(F::max_rmse));
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(overflow, formats);

TEST_CASE_TEMPLATE_DEFINE("random rows of every magnitude decode to finite weights", F, fuzz) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    auto x = rows::normal(columns, static_cast<unsigned>(round));
    auto importance = rows::normal(columns, static_cast<unsigned>(round + 1000));
    const int spread = static_cast<int>(random() % 60);
    for (float& v : x) v = std::ldexp(v, static_cast<int>(random() % 20) - 8 - spread);
    for (float& v : importance) v = random() % 4 ? std::abs(v) : 0.0f;
    const auto blocks = rows::blocks_of<F>(x, round % 2 ? importance.data() : nullptr);
    CHECK(blocks_are_finite<F>(blocks));
    CHECK(all_finite(rows::decoded<F>(blocks)));
  }
}
TEST_CASE_TEMPLATE_APPLY(fuzz, formats);
