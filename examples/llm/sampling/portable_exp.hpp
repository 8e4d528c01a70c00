// e^x from operations that IEEE 754 fixes to the last bit, so that seeds give the same tokens on every machine: the
// libraries' std::exp differ in theirs.
//
//   x = k ln 2 + r, |r| <= ln 2 / 2:   e^x = 2^k sum r^n / n!, n = 0 .. 13; relative error below 4e-16
#pragma once
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

namespace bq_llm {

// For x <= 0; 0 below -700.
inline double portable_exp(double x) noexcept {
  // ln 2 in two parts: k times the first is exact.
  constexpr double log2_e = 1.4426950408889634, ln2_high = 0.693147180369123816490,
                   ln2_low = 1.90821492927058770002e-10;
  constexpr auto inverse_factorials = [] {
    std::array<double, 14> c{1.0};
    for (std::size_t n = 1; n < c.size(); ++n) c[n] = c[n - 1] / static_cast<double>(n);
    return c;
  }();
  if (!(x >= -700.0)) return 0.0;
  const double k = std::floor(x * log2_e + 0.5);
  const double r = (x - k * ln2_high) - k * ln2_low;
  double sum = 0.0;
  for (auto c = inverse_factorials.rbegin(); c != inverse_factorials.rend(); ++c) sum = sum * r + *c;
  return sum * std::bit_cast<double>(static_cast<std::uint64_t>(static_cast<std::int64_t>(k) + 1023) << 52);
}

}  // namespace bq_llm
