#include "report.hpp"

#include <fmt/format.h>

#include <cmath>

namespace bq_quantize {

namespace {

std::string list(const std::vector<std::string>& names, std::size_t shown) {
  std::string out;
  for (std::size_t i = 0; i < std::min(shown, names.size()); ++i) out += (i ? ", " : "") + bq::printable(names[i]);
  if (names.size() > shown) out += fmt::format(" and {} more", names.size() - shown);
  return out;
}

}  // namespace

std::string summary(const plan& p) {
  std::string out = fmt::format("{} tensors, {:.2f} M parameters: {} -> {}, {:.3f} bits per weight\n", p.tensors.size(),
                                static_cast<double>(p.parameters) / 1e6, bq_program::human_bytes(p.bytes_in),
                                bq_program::human_bytes(p.bytes_out), p.bits_per_weight());
  if (p.fallback_tensors > 0) {
    out += fmt::format(
        "{} tensors with {:.1f} % of the parameters do not fit the blocks of their type and get another one "
        "(--dry-run shows which, --no-fallback refuses)\n",
        p.fallback_tensors, 100 * p.fallback_share());
  }
  if (!p.uncovered.empty()) {
    out += fmt::format("{} tensors are not covered by the importance matrix: {}\n", p.uncovered.size(),
                       list(p.uncovered, 8));
  }
  for (const std::string& w : p.warnings) out += "warning: " + w + "\n";
  return out;
}

nlohmann::ordered_json to_json(const plan& p, const run_result& result) {
  nlohmann::ordered_json out = to_json(p);
  out["output"] = result.paths;
  out["file_size"] = result.file_bytes;
  out["seconds"] = result.seconds;
  double error2 = 0, weight2 = 0, worst = -1;
  for (std::size_t i = 0; i < p.tensors.size(); ++i) {
    auto& t = out["tensors"][i];
    t["xxh64"] = fmt::format("{:016x}", result.digests[i]);
    const auto& e = result.errors[i];
    if (!e) continue;
    t["rms"] = e->rms();
    t["max_error"] = e->max_abs;
    t["worst_row"] = e->worst_row;
    t["worst_row_rms"] = e->worst_row_rms;
    error2 += e->error2;
    weight2 += e->weight2;
    if (e->rms() > worst) {
      worst = e->rms();
      out["worst_tensor"] = t["name"];
    }
  }
  if (worst >= 0) out["rms"] = weight2 > 0 ? std::sqrt(error2 / weight2) : 0.0;
  return out;
}

}  // namespace bq_quantize
