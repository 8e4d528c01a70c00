// The code of the bq::error that a call throws; empty when it throws none.
#pragma once
#include <blockquant/error.hpp>
#include <optional>

namespace test {

template <class Call>
std::optional<bq::error_info> error_of(const Call& call) {
  try {
    call();
  } catch (const bq::error& e) {
    return e.info();
  }
  return std::nullopt;
}

template <class Call>
std::optional<bq::errc> code_of(const Call& call) {
  const auto info = error_of(call);
  return info ? std::optional(info->code) : std::nullopt;
}

}  // namespace test
