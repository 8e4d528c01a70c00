// What a program prints with --json: its result, or the code of its error.
#pragma once
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "program.hpp"

namespace program {

inline nlohmann::json result(const std::vector<std::string>& arguments) {
  const outcome o = run(arguments);
  CAPTURE(o.err);
  REQUIRE(o.exit_code == 0);
  return nlohmann::json::parse(o.out);
}

inline std::string error_code(const std::vector<std::string>& arguments, int exit_code = 1) {
  const outcome o = run(arguments);
  CAPTURE(o.out);
  CAPTURE(o.err);
  CHECK(o.exit_code == exit_code);
  const auto found = nlohmann::json::parse(o.out, nullptr, false);
  REQUIRE(found.contains("error"));
  return found["error"]["code"];
}

}  // namespace program
