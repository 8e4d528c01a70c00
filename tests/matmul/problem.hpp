// A product to be computed: random weights of a type and activations, each at the end of a page beyond which nothing
// may be touched.
#pragma once
#include <doctest/doctest.h>

#include <blockquant/matmul.hpp>
#include <blockquant/quantize.hpp>
#include <cstring>
#include <random>
#include <vector>

#include "../error_code.hpp"
#include "../guarded.hpp"
#include "../values.hpp"

struct problem {
  std::int64_t rows, cols, tokens;
  bq::type id;
  test::guarded<std::byte> blocks;
  test::guarded<float> x;
  std::vector<float> weights;  // decoded

  problem(bq::type t, std::int64_t n_rows, std::int64_t n_cols, std::int64_t n_tokens, float sigma = 1.0f)
      : rows(n_rows),
        cols(n_cols),
        tokens(n_tokens),
        id(t),
        blocks(static_cast<std::size_t>(rows) * bq::row_bytes(t, cols)),
        x(static_cast<std::size_t>(tokens * cols)),
        weights(static_cast<std::size_t>(rows * cols)) {
    std::mt19937 random(static_cast<unsigned>(rows * 7 + cols * 3 + tokens));
    std::normal_distribution<float> normal(0.0f, 1.0f);
    for (float& w : weights) w = normal(random) * 0.05f;
    bq::quantize(id, weights, rows, cols, blocks.span());
    bq::dequantize(id, blocks.span(), rows, cols, weights);
    for (float& v : x.span()) v = normal(random) * sigma;
  }

  bq::matrix w() const { return {id, rows, cols, blocks.span()}; }

  std::vector<float> product(const bq::matmul_options& options = {}) const {
    test::guarded<float> y(static_cast<std::size_t>(tokens * rows));
    std::memset(y.span().data(), 0xff, y.span().size_bytes());
    bq::matmul(w(), x.span(), tokens, y.span(), options);
    return {y.span().begin(), y.span().end()};
  }
};

using test::code_of;
using test::same_bits;
