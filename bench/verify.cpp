#include "verify.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <blockquant/quantize.hpp>
#include <cmath>
#include <set>
#include <vector>

namespace bq_bench {
namespace {

constexpr std::int64_t sampled_rows = 24, sampled_tokens = 4;

// The first, the last, and others evenly between.
std::set<std::int64_t> sample(std::int64_t n, std::int64_t most) {
  std::set<std::int64_t> out;
  for (std::int64_t i = 0; i < most; ++i) out.insert(i * (n - 1) / (most - 1));
  return out;
}

struct product {
  double sum = 0, terms = 0;  // of w * x, of |w * x|
  double bound = 0;           // of |y - sum|
};

// A term passes through one rounding for each one that is added after it: for each column, or, where there are runs of
// codes, for each run's sum and minimum. Codes and minimum are each at most a few times the run's heaviest weight.
product exact_product(std::span<const float> w, std::span<const float> x, const activation_rounding& rounding) {
  const auto cols = static_cast<double>(w.size());
  product p;
  double code_terms = 0;
  for (std::size_t first = 0; first < w.size(); first += static_cast<std::size_t>(rounding.run)) {
    const std::size_t last = std::min(w.size(), first + static_cast<std::size_t>(rounding.run));
    double weight = 0, value = 0, heaviest = 0, top = 0;
    for (std::size_t i = first; i < last; ++i) {
      const double wi = w[i], xi = x[i];
      p.sum += wi * xi;
      p.terms += std::abs(wi * xi);
      weight += std::abs(wi);
      value += std::abs(xi);
      heaviest = std::max(heaviest, std::abs(wi));
      top = std::max(top, std::abs(xi));
    }
    code_terms += 4 * heaviest * top * static_cast<double>(last - first);
    if (rounding.levels > 0) p.bound += weight * top / rounding.levels * 0.501;
    if (rounding.weight_levels > 0) {
      const double rounded = value + static_cast<double>(last - first) * top / rounding.levels;
      p.bound += 2 * heaviest / rounding.weight_levels * 0.501 * rounded;
    }
  }
  p.bound += rounding.levels > 0 ? code_terms * (cols / 8 + 8) * 0x1p-24 : p.terms * (cols + 8) * 0x1p-24;
  p.bound += rounding.relative * p.terms;
  return p;
}

}  // namespace

double check_product(const bq::matrix& w, std::span<const float> x, std::int64_t tokens, std::span<const float> y,
                     const activation_rounding& rounding) {
  const auto cols = static_cast<std::size_t>(w.cols);
  const std::size_t row_bytes = bq::row_bytes(w.id, w.cols);
  std::vector<float> row(cols);
  double largest = 0;
  for (const auto r : sample(w.rows, sampled_rows)) {
    bq::dequantize(w.id, w.blocks.subspan(static_cast<std::size_t>(r) * row_bytes, row_bytes), 1, w.cols, row);
    for (const auto t : sample(tokens, sampled_tokens)) {
      const product p = exact_product(row, x.subspan(static_cast<std::size_t>(t) * cols, cols), rounding);
      const double found = y[static_cast<std::size_t>(t * w.rows + r)], error = std::abs(found - p.sum);
      if (!(error <= p.bound)) {
        throw wrong_result(fmt::format("token {}, row {}: {:.9g} instead of {:.9g}, which may be off by {:.3g}", t, r,
                                       found, p.sum, p.bound));
      }
      if (p.terms > 0) largest = std::max(largest, error / p.terms);
    }
  }
  return largest;
}

double check_decoded(std::span<const float> weights, std::span<const float> decoded, std::int64_t block_size) {
  double largest = 0;
  for (std::size_t first = 0; first < weights.size(); first += static_cast<std::size_t>(block_size)) {
    double top = 0, error = 0;
    for (std::size_t i = first; i < first + static_cast<std::size_t>(block_size); ++i) {
      top = std::max(top, std::abs(static_cast<double>(weights[i])));
      const double e = std::abs(static_cast<double>(weights[i]) - static_cast<double>(decoded[i]));
      if (!(e <= error)) error = e;
    }
    if (!(error <= top)) {
      throw wrong_result(fmt::format("weights {} to {}: error {:.3g}, the largest is {:.3g}", first,
                                     first + static_cast<std::size_t>(block_size) - 1, error, top));
    }
    if (top > 0) largest = std::max(largest, error / top);
  }
  return largest;
}

}  // namespace bq_bench
