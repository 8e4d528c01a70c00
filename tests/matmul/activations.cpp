// Activations that are prepared once: the same bits as from f32, for every type, tier and instruction set, however
// often the object is used again, and without allocations once it has grown.
#include <algorithm>
#include <blockquant/activations.hpp>
#include <blockquant/error.hpp>
#include <string>

#include "../memory.hpp"
#include "problem.hpp"

namespace {

constexpr bq::tier tiers[] = {bq::tier::exact, bq::tier::precise, bq::tier::fast};

std::vector<float> product(const problem& p, const bq::activations& x, const bq::matmul_options& options) {
  std::vector<float> y(static_cast<std::size_t>(p.rows * x.tokens()), -1.0f);
  bq::matmul(p.w(), x, y, options);
  return y;
}

}  // namespace

TEST_CASE("prepared activations serve all types, with the bits of a product from f32") {
  bq::thread_pool threads(3);
  for (const bq::tier tier : tiers) {
    for (const std::string_view isa : bq::isas()) {
      const bq::matmul_options options{.tier = tier, .threads = &threads, .isa = isa};
      bq::activations x;
      std::vector<float> values;
      for (const bq::type_info& t : bq::types()) {
        INFO(std::string(t.name) << ", " << std::string(isa));
        const problem p(t.id, 70, 768, 37);
        if (values.empty()) {
          values.assign(p.x.span().begin(), p.x.span().end());
          x.assign(values, p.tokens, p.cols, options);
        }
        REQUIRE(std::memcmp(values.data(), p.x.span().data(), p.x.span().size_bytes()) == 0);
        CHECK(same_bits(product(p, x, options), p.product(options)));
      }
    }
  }
}

TEST_CASE("products of one call, of several types and heights, have the bits of calls of their own") {
  bq::thread_pool threads(3);
  bq::workspace memory;
  const bq::matmul_options options{.threads = &threads, .memory = &memory};
  for (const std::int64_t tokens : {1, 3, 40}) {
    const problem several[] = {{bq::type::q4_K, 200, 512, tokens},
                               {bq::type::f16, 70, 512, tokens},
                               {bq::type::q8_0, 1, 512, tokens},
                               {bq::type::q4_K, 130, 512, tokens}};
    bq::activations x;
    x.assign(several[0].x.span(), tokens, 512, options);
    std::vector<std::vector<float>> y;
    for (const problem& p : several) y.emplace_back(static_cast<std::size_t>(p.rows * tokens), -1.0f);
    std::vector<bq::projection> projections{{{bq::type::q6_K, 0, 512, {}}, {}}};
    for (std::size_t i = 0; i < y.size(); ++i) projections.push_back({several[i].w(), y[i]});
    bq::matmul(projections, x, options);
    for (std::size_t i = 0; i < y.size(); ++i) CHECK(same_bits(y[i], product(several[i], x, {})));

    projections.back().y = projections.back().y.first(1);
    CHECK(code_of([&] { bq::matmul(projections, x, options); }) == bq::errc::bad_shape);
  }
}

TEST_CASE("activations that are written as they are prepared have the bits of those written before") {
  bq::thread_pool threads(3);
  for (const bq::type id : {bq::type::q4_0, bq::type::f16}) {
    const problem p(id, 9, 64, 50);
    std::vector<float> x(p.x.span().size(), -1.0f);
    std::vector<int> written(50);
    bq::activations prepared;
    const auto write = [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t t = first; t < last; ++t) ++written[static_cast<std::size_t>(t)];
      std::copy(p.x.span().begin() + first * 64, p.x.span().begin() + last * 64, x.begin() + first * 64);
    };
    prepared.assign_written(x, 50, 64, write, {.threads = &threads});
    CHECK(written == std::vector<int>(50, 1));
    CHECK(same_bits(product(p, prepared, {}), p.product()));
  }
  bq::activations prepared;
  std::vector<float> x(64);
  CHECK_THROWS_AS(prepared.assign_written(x, 1, 64, [](std::int64_t, std::int64_t) { throw 1; }), int);
  CHECK(prepared.tokens() == 0);
}

TEST_CASE("an object that held other activations before gives the same bits") {
  bq::activations x;
  bq::workspace memory;
  for (const bq::tier tier : {bq::tier::precise, bq::tier::fast, bq::tier::exact}) {
    for (const std::int64_t tokens : {40, 3, 17, 1}) {
      for (const std::int64_t cols : {1024, 256, 768, 32}) {
        const problem p(bq::type::q4_0, 9, cols, tokens);
        const auto expected = p.product({.tier = tier});
        x.assign(p.x.span(), tokens, cols, {.tier = tier});
        CHECK(same_bits(product(p, x, {.tier = tier}), expected));
        CHECK(same_bits(product(p, x, {.tier = tier, .memory = &memory}), expected));
        CHECK(same_bits(p.product({.tier = tier, .memory = &memory}), expected));
      }
    }
  }
}

TEST_CASE("what has grown to its size allocates no more") {
  bq::thread_pool threads(2);
  bq::activations x;
  bq::workspace memory;
  const bq::matmul_options options{.threads = &threads, .memory = &memory};
  std::vector<float> y(200 * 33);
  for (const bq::type id : {bq::type::q4_K, bq::type::f16}) {
    const problem p(id, 200, 512, 33);
    std::size_t peak = 1;
    for (int again = 0; again < 50 && peak > 0; ++again) {  // a second thread may come late
      test::reset_peak_memory();
      x.assign(p.x.span(), p.tokens, p.cols, options);
      bq::matmul(p.w(), x, y, options);
      bq::matmul(p.w(), p.x.span(), p.tokens, y, options);
      peak = test::peak_memory();
    }
    CHECK(peak == 0);
  }
}

TEST_CASE("columns that only float types can have") {
  const problem p(bq::type::f16, 5, 37, 3);
  bq::activations x;
  x.assign(p.x.span(), p.tokens, p.cols);
  CHECK(x.cols() == 37);
  CHECK(same_bits(product(p, x, {}), p.product()));
}

TEST_CASE("activations are kept by a move, and where they were is empty and usable") {
  const problem p(bq::type::q8_0, 5, 64, 3);
  bq::activations from;
  from.assign(p.x.span(), p.tokens, p.cols);
  bq::activations to = std::move(from);
  CHECK(same_bits(product(p, to, {}), p.product()));
  CHECK(from.tokens() == 0);
  from.assign(p.x.span(), p.tokens, p.cols);
  CHECK(same_bits(product(p, from, {}), p.product()));
}

TEST_CASE("activations that do not fit the product, or themselves, are errors") {
  using enum bq::errc;
  const problem p(bq::type::q8_0, 5, 64, 3);
  std::vector<float> y(15);
  bq::activations x;
  CHECK(code_of([&] { bq::matmul(p.w(), x, {}); }) == bad_shape);
  CHECK(code_of([&] { x.assign(p.x.span(), 3, 65); }) == bad_shape);
  CHECK(code_of([&] { x.assign(p.x.span(), -3, 64); }) == bad_shape);
  CHECK(code_of([&] { x.assign(p.x.span(), 3, 0); }) == bad_shape);
  CHECK(code_of([&] { x.assign(p.x.span(), 3, INT64_MAX); }) == bad_shape);
  CHECK(code_of([&] { x.assign(p.x.span(), INT64_MAX, 64); }) == bad_shape);
  CHECK(code_of([&] { x.assign(p.x.span(), 3, 64, {.isa = "mmx"}); }) == invalid_argument);
  x.assign(p.x.span(), 6, 32);
  CHECK(code_of([&] { bq::matmul(p.w(), x, y); }) == bad_shape);
  x.assign(p.x.span(), 3, 64, {.tier = bq::tier::precise});
  CHECK(code_of([&] { bq::matmul(p.w(), x, y); }) == invalid_argument);
  CHECK(code_of([&] { bq::matmul(p.w(), x, std::span(y).first(14), {.tier = bq::tier::precise}); }) == bad_shape);
  CHECK_THROWS_AS(x.assign(p.x.span(), 4, 64), bq::error);
  CHECK(x.tokens() == 0);
  x.assign({}, 0, 64);
  CHECK_NOTHROW(bq::matmul(p.w(), x, {}));
}

TEST_CASE("activations assigned for some types serve those, and no others") {
  using enum bq::errc;
  const problem p(bq::type::q8_0, 5, 256, 3), other(bq::type::q4_0, 5, 256, 3), wide(bq::type::q2_K, 5, 256, 3);
  bq::activations x;
  for (const bq::tier tier : tiers) {
    const bq::matmul_options options{.tier = tier};
    x.assign(p.x.span(), 3, 256, options, std::array{bq::type::q8_0, bq::type::f16});
    CHECK(same_bits(product(p, x, options), p.product(options)));
    std::vector<float> y(15);
    CHECK((tier == bq::tier::exact) == (code_of([&] { bq::matmul(other.w(), x, y, options); }) == invalid_argument));
    CHECK((tier != bq::tier::fast) == (code_of([&] { bq::matmul(wide.w(), x, y, options); }) == invalid_argument));
  }
  CHECK(code_of([&] { x.assign(p.x.span(), 3, 256, {}, std::array{static_cast<bq::type>(4)}); }) == unknown_type);
}
