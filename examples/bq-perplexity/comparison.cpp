#include "comparison.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "divergence_report.hpp"

namespace bq_perplexity {

namespace {

bool ends_word(char c) { return c == '-' || c == '_' || c == '.'; }

}  // namespace

std::vector<std::string> short_names(const std::vector<std::string>& paths) {
  std::vector<std::string> names;
  for (const std::string& path : paths) names.push_back(std::filesystem::path(path).filename().string());
  std::size_t prefix = names.front().size(), suffix = prefix;
  for (const std::string& n : names) {
    const auto [a, b] = std::mismatch(n.begin(), n.end(), names.front().begin(), names.front().end());
    prefix = std::min(prefix, static_cast<std::size_t>(a - n.begin()));
    const auto [c, d] = std::mismatch(n.rbegin(), n.rend(), names.front().rbegin(), names.front().rend());
    suffix = std::min(suffix, static_cast<std::size_t>(c - n.rbegin()));
  }
  // Whole words only: q4_0 and q4_1 must not become 0 and 1.
  const auto whole_words = [&](std::size_t n) {
    while (n > 0 && names.front()[n - 1] != '-') --n;
    return n;
  };
  prefix = whole_words(prefix);
  while (suffix > 0 && !ends_word(names.front()[names.front().size() - suffix])) --suffix;
  for (std::string& n : names) {
    if (n.size() > prefix + suffix) n = n.substr(prefix, n.size() - prefix - suffix);
  }
  return names;
}

std::string to_table(const comparison& c) {
  std::size_t width = 5;
  for (const compared_model& m : c.models) width = std::max(width, m.name.size());
  std::string out =
      fmt::format("{:<{}} {:>10} {:>7} {:>10} {:>9} {:>9} {:>10} {:>9} {:>10} {:>9} {:>9}\n", "model", width, "size",
                  "bpw", "PPL", "+/-", "PPL/base", "KLD", "+/-", "99% KLD", "RMS dp", "same top");
  for (const compared_model& m : c.models) {
    const divergence_statistics& s = m.statistics;
    out += fmt::format("{:<{}} {:>7.2f} MB {:>7.3f} {:>10.4f} {:>9.4f} {:>9.4f} ", m.name, width,
                       static_cast<double>(m.bytes) / 1e6, m.bits_per_weight(), s.perplexity.value, s.perplexity.error,
                       s.ratio.value);
    out += &m == &c.models.front()
               ? fmt::format("{:>10} {:>9} {:>10} {:>9} {:>9}\n", "base", "", "", "", "")
               : fmt::format("{:>10.6f} {:>9.6f} {:>10.6f} {:>7.3f} % {:>7.3f} %\n", s.kld.value, s.kld.error,
                             quantile(s.sorted_kld, 0.99), 100 * s.delta_p_rms.value, 100 * s.same_top.value);
  }
  return out;
}

nlohmann::ordered_json to_json(const comparison& c) {
  auto models = nlohmann::ordered_json::array();
  for (const compared_model& m : c.models) {
    nlohmann::ordered_json one{
        {"name", m.name}, {"path", m.path}, {"file_size", m.bytes}, {"bits_per_weight", m.bits_per_weight()}};
    one.update(to_json(m.statistics));
    models.push_back(std::move(one));
  }
  return {{"text", c.text}, {"context", c.context}, {"windows", c.windows}, {"models", models}};
}

}  // namespace bq_perplexity
