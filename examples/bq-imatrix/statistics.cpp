#include "statistics.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace bq_imatrix {

namespace {

using bq_llm::measured_weight;

// Means of the experts that were reached.
std::vector<double> means(const measured_weight& w) {
  std::vector<double> a;
  for (std::size_t i = 0; i < w.sums.size(); ++i) {
    const double count = w.counts[i / w.cols()];
    if (count > 0) a.push_back(w.sums[i] / count);
  }
  return a;
}

// "blk.6.x" for "blk.7.x"; empty where there is none.
std::string layer_before(const std::string& name) {
  int layer = 0;
  const char* end = name.data() + name.size();
  if (!name.starts_with("blk.")) return {};
  const auto [rest, status] = std::from_chars(name.data() + 4, end, layer);
  if (status != std::errc() || layer < 1) return {};
  return "blk." + std::to_string(layer - 1) + std::string(rest, end);
}

double cosine(const measured_weight& a, const measured_weight& b) {
  if (a.sums.size() != b.sums.size()) return 0;
  double ab = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < a.sums.size(); ++i) {
    ab += a.sums[i] * b.sums[i], aa += a.sums[i] * a.sums[i], bb += b.sums[i] * b.sums[i];
  }
  return aa * bb > 0 ? ab / std::sqrt(aa * bb) : 0;
}

weight_statistics statistics_of(const std::string& name, const std::vector<double>& a) {
  weight_statistics s{.weight = name, .columns = a.size()};
  const double n = static_cast<double>(a.size());
  double squares = 0, active = 0, high = 0;
  for (const double v : a) s.sum += v, squares += v * v, active += v > 1e-5;
  s.least = *std::ranges::min_element(a);
  s.most = *std::ranges::max_element(a);
  s.mean = s.sum / n;
  s.deviation = std::sqrt(std::max(0.0, squares / n - s.mean * s.mean));
  s.active = active / n;
  for (const double v : a) {
    if (v > 0) s.entropy -= v / s.sum * std::log2(v / s.sum);
    high += s.deviation > 0 && v > s.mean + s.deviation;
  }
  s.entropy_share = a.size() > 1 ? s.entropy / std::log2(n) : 1;
  s.zd = high / n;
  return s;
}

}  // namespace

std::vector<weight_statistics> statistics(const bq_llm::measured_imatrix& m) {
  std::vector<weight_statistics> all;
  for (const auto& [name, w] : m.weights) {
    const std::vector<double> a = means(w);
    if (a.empty()) continue;
    all.push_back(statistics_of(name, a));
    const auto before = m.weights.find(layer_before(name));
    if (before != m.weights.end()) all.back().cosine = cosine(w, before->second);
  }
  return all;
}

std::string to_table(const std::vector<weight_statistics>& all) {
  std::string out =
      fmt::format("{:<28} {:>8} {:>12} {:>10} {:>11} {:>9} {:>9} {:>8} {:>8} {:>7} {:>7} {:>7}\n", "weight", "columns",
                  "sum", "least", "most", "mean", "deviation", "active", "entropy", "share", "ZD", "cosine");
  for (const weight_statistics& s : all) {
    out += fmt::format(
        "{:<28} {:>8} {:>12.4f} {:>10.6f} {:>11.4f} {:>9.5f} {:>9.5f} {:>6.2f} % {:>8.4f} {:>5.1f} % {:>5.2f} % "
        "{:>7.4f}\n",
        s.weight, s.columns, s.sum, s.least, s.most, s.mean, s.deviation, 100 * s.active, s.entropy,
        100 * s.entropy_share, 100 * s.zd, s.cosine);
  }
  return out;
}

nlohmann::ordered_json to_json(const std::vector<weight_statistics>& all) {
  auto out = nlohmann::ordered_json::array();
  for (const weight_statistics& s : all) {
    out.push_back({{"weight", s.weight},
                   {"columns", s.columns},
                   {"sum", s.sum},
                   {"least", s.least},
                   {"most", s.most},
                   {"mean", s.mean},
                   {"deviation", s.deviation},
                   {"active", s.active},
                   {"entropy", s.entropy},
                   {"entropy_share", s.entropy_share},
                   {"zd", s.zd},
                   {"cosine", s.cosine}});
  }
  return out;
}

}  // namespace bq_imatrix
