// Inputs of the tests of operations, and what all of them check: results of every instruction set are those of the
// scalar one, bit for bit.
#pragma once
#include <doctest/doctest.h>

#include <blockquant/matmul.hpp>
#include <blockquant/ops.hpp>
#include <string>
#include <vector>

#include "../error_code.hpp"
#include "../values.hpp"

namespace test_ops {

using test::code_of;
using test::normal;
using test::same_bits;

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

}  // namespace test_ops
