// Inputs of the tests of operations, and what all of them check: results of every instruction set are those of the
// scalar one, bit for bit.
#pragma once
#include <doctest/doctest.h>

#include <blockquant/matmul.hpp>
#include <blockquant/ops.hpp>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace test_ops {

inline std::vector<float> normal(std::size_t n, unsigned seed, float sigma = 1.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> distribution(0.0f, sigma);
  std::vector<float> x(n);
  for (float& v : x) v = distribution(random);
  return x;
}

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// operation(options) -> results; returns the scalar one's.
template <class Operation>
std::vector<float> on_every_isa(const Operation& operation) {
  const std::vector<float> expected = operation(bq::ops_options{.isa = "scalar"});
  for (const std::string_view isa : bq::isas()) {
    INFO(std::string(isa));
    CHECK(same_bits(operation(bq::ops_options{.isa = isa}), expected));
  }
  return expected;
}

template <class Action>
bq::errc code_of(const Action& action) {
  try {
    action();
  } catch (const bq::error& e) {
    return e.code();
  }
  FAIL("nothing was thrown");
  return bq::errc::io;
}

}  // namespace test_ops
