// Products of every type, instruction set and tier: against an f64 oracle with derived bounds, bit-identical between
// instruction sets and whatever the threads, the division of the tokens and their position, and defined for every
// input.
#include <doctest/doctest.h>

#include <bit>
#include <blockquant/error.hpp>
#include <blockquant/matmul.hpp>
#include <blockquant/quantize.hpp>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <string>
#include <vector>

#include "formats/registry.hpp"
#include "problem.hpp"
#include "src/cpu/activations.hpp"

namespace {

constexpr bq::tier tiers[] = {bq::tier::exact, bq::tier::precise, bq::tier::fast};

// Columns [first, last) of what a token's activations are scaled by, before it is divided by the largest code.
double scale_of(const float* x, std::int64_t cols, std::int64_t first, std::int64_t last, bq::activation_scaling s) {
  const auto top = [&](std::int64_t from, std::int64_t to) {
    double out = 0;
    for (std::int64_t c = from; c < std::min(to, cols); ++c) out = std::max(out, std::abs(static_cast<double>(x[c])));
    return out;
  };
  if (s != bq::activation_scaling::powers) return top(first, last);
  const double panel = top(first / 512 * 512, first / 512 * 512 + 512);
  return std::min(panel, std::max(2 * top(first, last), panel * 0x1p-15));
}

// Whether activations differ by powers of two where they meet minimums that are bytes.
bool rounds_sums(bq::type id) {
  bool out = false;
  bq::for_each_format([&]<class F>(F) {
    if constexpr (bq::coded_format<F>) {
      if (F::id == id) out = bq::has_mins<F> && bq::scaling_of<F> == bq::activation_scaling::powers;
    }
  });
  return out;
}

// |y - exact| is at most: the rounding of activations and weights, half a step each (nothing for float weights), and
// the f32 roundings, of which a term passes through a few for each run (or column) that follows: (runs + 8) * 2^-24 of
// the sum of absolute terms, minimums and codes counted apart.
void check_against_f64(const problem& p, const std::vector<float>& y, bq::tier tier) {
  const bq::type_info& t = bq::info(p.id);
  const double limit = tier == bq::tier::precise ? 127.0 * 256.0 : 127.0;
  const bq::activation_scaling scaling = bq::cpu::scaling_in(tier, t.scaling);
  const std::int64_t run = !t.quantized || scaling == bq::activation_scaling::shared ? 256 : 32;
  const double steps = t.quantized ? static_cast<double>(p.cols) / 32 * 4 + 8 : static_cast<double>(p.cols);
  for (std::int64_t k = 0; k < p.tokens; ++k) {
    for (std::int64_t r = 0; r < p.rows; ++r) {
      double sum = 0, terms = 0, rounding = 0;
      for (std::int64_t first = 0; first < p.cols; first += run) {
        const std::int64_t last = std::min(first + run, p.cols);
        const double top = scale_of(p.x.span().data() + k * p.cols, p.cols, first, last, scaling);
        double value = 0, weight = 0, largest = 0;
        for (std::int64_t c = first; c < last; ++c) {
          const double v = p.x[static_cast<std::size_t>(k * p.cols + c)],
                       w = p.weights[static_cast<std::size_t>(r * p.cols + c)];
          sum += w * v;
          value += std::abs(v);
          weight += std::abs(w);
          largest = std::max(largest, std::abs(w));
        }
        // Codes and minimum apart are larger than the weight they make: at most three times the largest weight of the
        // run.
        terms += static_cast<double>(run) * 4 * largest * top;
        if (!t.quantized) continue;
        rounding += weight * top / limit * 0.5001;
        // Sums of codes that meet a minimum are rounded to eighths of the panel's step, where that changes them.
        const auto top_of = [&](std::int64_t from, std::int64_t to) {
          return scale_of(p.x.span().data() + k * p.cols, p.cols, from, to, bq::activation_scaling::own);
        };
        const double panel = top_of(first / 512 * 512, first / 512 * 512 + 512);
        if (tier == bq::tier::exact && rounds_sums(p.id) && 8 * top_of(first, last) < panel)
          rounding += 3 * largest * panel / limit / 16;
        // A weight's step is made for the largest that the scales allow: at most twice the largest there is. The
        // activations' rounding meets the rounded weight.
        if (tier == bq::tier::fast)
          rounding += 2 * largest / 127 * 0.5001 * (value + static_cast<double>(run) * top / limit);
      }
      const double bound = rounding + terms * steps * 0x1p-24 + 1e-30;
      const double error = std::abs(static_cast<double>(y[static_cast<std::size_t>(k * p.rows + r)]) - sum);
      if (error > bound) {
        INFO("token " << k << ", row " << r << ": error " << error << ", bound " << bound);
        CHECK(error <= bound);
        return;
      }
    }
  }
  CHECK(true);
}

std::int64_t cols_of(const bq::type_info& t, int variant) {
  if (!t.quantized) return std::array{1, 37, 300}[static_cast<std::size_t>(variant)];
  return t.block_size == 256 ? 256 * (variant + 1)
                             : t.block_size * std::array{1, 9, 35}[static_cast<std::size_t>(variant)];
}

}  // namespace

TEST_CASE("products agree with f64 and between instruction sets, at odd sizes") {
  const std::vector<std::pair<std::int64_t, std::int64_t>> sizes{{1, 1}, {2, 3},  {3, 17}, {4, 2},  {5, 5},  {6, 4},
                                                                 {7, 7}, {31, 6}, {33, 8}, {64, 1}, {65, 9}, {130, 64}};
  for (const bq::type_info& t : bq::types()) {
    INFO(std::string(t.name));
    int variant = 0;
    for (const auto& [rows, tokens] : sizes) {
      const problem p(t.id, rows, cols_of(t, variant++ % 3), tokens);
      INFO(p.rows << " x " << p.cols << ", " << p.tokens << " tokens");
      for (const bq::tier tier : tiers) {
        const auto expected = p.product({.tier = tier, .isa = "scalar"});
        check_against_f64(p, expected, tier);
        for (const std::string_view isa : bq::isas()) {
          INFO(std::string(isa));
          CHECK(same_bits(p.product({.tier = tier, .isa = isa}), expected));
        }
      }
    }
  }
}

TEST_CASE("results do not depend on threads, batch or position") {
  for (const bq::type_info& t : bq::types()) {
    INFO(std::string(t.name));
    const problem p(t.id, 200, t.quantized ? 768 : 100, 37);
    for (const std::string_view isa : bq::isas()) {
      for (const bq::tier tier : tiers) {
        const auto expected = p.product({.tier = tier, .isa = isa});
        for (const int n : {2, 7}) {
          bq::thread_pool threads(n);
          CHECK(same_bits(p.product({.tier = tier, .threads = &threads, .isa = isa}), expected));
        }
        for (const std::int64_t batch : {1, 2, 5, 36}) {
          std::vector<float> y(expected.size());
          for (std::int64_t first = 0; first < p.tokens; first += batch) {
            const std::int64_t n = std::min(batch, p.tokens - first);
            bq::matmul(
                p.w(),
                p.x.span().subspan(static_cast<std::size_t>(first * p.cols), static_cast<std::size_t>(n * p.cols)), n,
                std::span(y).subspan(static_cast<std::size_t>(first * p.rows), static_cast<std::size_t>(n * p.rows)),
                {.tier = tier, .isa = isa});
          }
          CHECK(same_bits(y, expected));
        }
      }
    }
  }
}

TEST_CASE("activations from tiny to 6e4, with outliers, keep their bound") {
  for (const bq::type_info& t : bq::types()) {
    INFO(std::string(t.name));
    for (const float sigma : {1e-20f, 1e-3f, 1e4f, 6e4f}) {
      problem p(t.id, 16, 512, 3, sigma);
      p.x[7] = 60000.0f * sigma / 1e4f;
      for (const bq::tier tier : tiers) check_against_f64(p, p.product({.tier = tier}), tier);
    }
  }
}

TEST_CASE("NaN and infinity stay with their token or row") {
  for (const bq::type_info& t : bq::types()) {
    INFO(std::string(t.name));
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      problem p(t.id, 70, 512, 9);
      const auto clean = p.product();
      p.x[static_cast<std::size_t>(4 * p.cols + 100)] = bad;
      for (const std::string_view isa : bq::isas()) {
        const auto y = p.product({.isa = isa});
        for (std::int64_t k = 0; k < p.tokens; ++k) {
          bool as_expected = true;
          for (std::int64_t r = 0; r < p.rows; ++r) {
            const auto i = static_cast<std::size_t>(k * p.rows + r);
            as_expected = as_expected &&
                          (k == 4 ? !std::isfinite(y[i]) : std::bit_cast<int>(y[i]) == std::bit_cast<int>(clean[i]));
          }
          CHECK(as_expected);
        }
      }
    }
  }
}

TEST_CASE("zero activations give zero") {
  for (const bq::type_info& t : bq::types()) {
    problem p(t.id, 8, 256, 2);
    for (float& v : p.x.span()) v = 0;
    for (const float y : p.product()) CHECK(y == 0.0f);
  }
}

TEST_CASE("the instruction set can be forced, and the forced one is the one that runs") {
  CHECK(bq::isas().back() == "scalar");
  CHECK(bq::chosen_isa() == bq::isas().front());
  for (const std::string_view isa : bq::isas()) {
    CHECK(bq::chosen_isa(isa) == isa);
    setenv("BQ_ISA", std::string(isa).c_str(), 1);
    CHECK(bq::chosen_isa() == isa);
    CHECK(bq::chosen_isa("scalar") == "scalar");
  }
  setenv("BQ_ISA", "mmx", 1);
  try {
    bq::chosen_isa();
    FAIL("mmx was accepted");
  } catch (const bq::error& e) {
    CHECK(e.code() == bq::errc::invalid_argument);
    CHECK(e.info().subject == "BQ_ISA");
    CHECK(e.info().expected.find("scalar") != std::string::npos);
  }
  unsetenv("BQ_ISA");
  CHECK_THROWS_AS(bq::chosen_isa("mmx"), bq::error);
}

TEST_CASE("misuse gives an error with numbers") {
  const problem p(bq::type::q4_K, 3, 512, 2);
  std::vector<float> y(6);
  const auto code = [&](bq::matrix w, std::span<const float> x, std::int64_t tokens, std::span<float> out) {
    try {
      bq::matmul(w, x, tokens, out);
    } catch (const bq::error& e) {
      return e.code();
    }
    FAIL("nothing was thrown");
    return bq::errc::io;
  };
  using enum bq::errc;
  auto w = p.w();
  CHECK(code(w, p.x.span().first(100), 2, y) == bad_shape);
  CHECK(code(w, p.x.span(), 1, y) == bad_shape);
  CHECK(code(w, p.x.span(), -1, y) == bad_shape);
  CHECK(code(w, p.x.span(), 2, std::span(y).first(5)) == bad_shape);
  w.cols = 500;
  CHECK(code(w, p.x.span(), 2, y) == bad_shape);
  w = p.w();
  w.blocks = w.blocks.first(10);
  CHECK(code(w, p.x.span(), 2, y) == bad_shape);
  w = p.w();
  w.id = bq::type::iq2_xs;
  CHECK(code(w, p.x.span(), 2, y) == unknown_type);
  CHECK_NOTHROW(bq::matmul({bq::type::q4_K, 0, 512, {}}, p.x.span(), 2, {}));
  CHECK_NOTHROW(bq::matmul(p.w(), {}, 0, {}));
}
