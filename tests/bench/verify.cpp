// The checks before each measurement: right results pass and report their error, wrong ones throw, and a run with a
// wrong contestant stops. Statistics of repetitions.
#include <doctest/doctest.h>

#include <blockquant/matmul.hpp>
#include <blockquant/quantize.hpp>
#include <cmath>
#include <limits>
#include <vector>

#include "measure.hpp"
#include "verify.hpp"
#include "weights.hpp"

namespace {

using namespace bq_bench;

struct problem {
  static constexpr std::int64_t rows = 40, cols = 512, tokens = 5;
  bq::type id;
  std::vector<std::byte> blocks;
  std::vector<float> x = random_values(tokens * cols, 1.0f, 3), y = std::vector<float>(tokens * rows);

  explicit problem(bq::type t) : id(t), blocks(rows * bq::row_bytes(t, cols)) {
    bq::quantize(id, random_values(rows * cols, 0.05f, 4), rows, cols, blocks);
    bq::matmul(w(), x, tokens, y);
  }
  bq::matrix w() const { return {id, rows, cols, blocks}; }
  double check(const activation_rounding& rounding) const { return check_product(w(), x, tokens, y, rounding); }
};

constexpr activation_rounding int8{.run = 32, .levels = 127};

}  // namespace

TEST_CASE("a right product passes, and its error is small but not nothing") {
  const problem p(bq::type::q4_K);
  const double error = p.check(int8);
  CHECK(error > 0);
  CHECK(error < 0.01);
}

TEST_CASE("wrong products are found wherever they are sampled") {
  for (const auto id : {bq::type::q4_K, bq::type::f32}) {
    const activation_rounding rounding = id == bq::type::f32 ? activation_rounding{} : int8;
    problem p(id);
    CHECK_NOTHROW(p.check(rounding));
    for (const std::size_t at : {std::size_t{0}, p.y.size() - 1}) {
      const float right = p.y[at];
      for (const float wrong :
           {right + 0.5f, -right, std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        p.y[at] = wrong;
        CHECK_THROWS_AS(p.check(rounding), wrong_result);
      }
      p.y[at] = right;
    }
    CHECK_NOTHROW(p.check(rounding));
  }
}

TEST_CASE("a product with the rounding of int8 is no f32 product") {
  CHECK_THROWS_AS(problem(bq::type::q8_0).check({}), wrong_result);
}

TEST_CASE("rows in another order are found") {
  problem p(bq::type::q8_0);
  std::swap_ranges(p.y.begin(), p.y.begin() + 20, p.y.begin() + 20);
  CHECK_THROWS_AS(p.check(int8), wrong_result);
}

TEST_CASE("decoded weights: rounding passes, a lost or broken block does not") {
  const std::vector<float> weights = random_values(256, 0.05f, 5);
  std::vector<std::byte> blocks(bq::row_bytes(bq::type::q4_0, 256));
  std::vector<float> decoded(256);
  bq::quantize(bq::type::q4_0, weights, 1, 256, blocks);
  bq::dequantize(bq::type::q4_0, blocks, 1, 256, decoded);
  const double error = check_decoded(weights, decoded, 32);
  CHECK(error > 0);
  CHECK(error < 0.2);
  for (const float factor : {-1.0f, 3.0f, std::numeric_limits<float>::quiet_NaN()}) {
    auto wrong = decoded;
    for (std::size_t i = 224; i < 256; ++i) wrong[i] *= factor;
    CHECK_THROWS_AS(check_decoded(weights, wrong, 32), wrong_result);
  }
}

TEST_CASE("median and quartiles") {
  const timing t = summarise({5, 1, 4, 2, 3});
  CHECK(t.median == doctest::Approx(3));
  CHECK(t.best == doctest::Approx(1));
  CHECK(t.spread == doctest::Approx((4.0 - 2.0) / 3.0));
  CHECK(t.repetitions == 5);
  CHECK(summarise({2, 4}).median == doctest::Approx(3));
  CHECK(summarise({7}).spread == doctest::Approx(0));
}

TEST_CASE("copies exceed twice the cache, are aligned and alike") {
  const std::vector<float> distinct = random_values(3 * 10, 1.0f, 6);
  const rotation r(std::as_bytes(std::span(distinct)), 7, 40, true);
  CHECK(r.copies() == 1);
  CHECK(r[0].size() == 280);
  CHECK(r[0].data() == r[1].data());
  const auto* values = reinterpret_cast<const float*>(r[0].data());
  for (std::size_t i = 0; i < 70; ++i) CHECK(values[i] == distinct[i % 30]);

  const rotation rotating(std::as_bytes(std::span(distinct)), 300'000, 40, false);
  CHECK(rotating.copies() > 1);
  CHECK(rotating[0].data() != rotating[1].data());
  CHECK(rotating[0].data() == rotating[rotating.copies()].data());
  CHECK(reinterpret_cast<std::uintptr_t>(rotating[1].data()) % 64 == 0);
  CHECK(std::equal(rotating[0].begin(), rotating[0].end(), rotating[rotating.copies() - 1].begin()));
}
