#include "divergence_report.hpp"

#include <fmt/format.h>

#include "session.hpp"

namespace bq_perplexity {

namespace {

constexpr double shares[] = {1, 0.999, 0.99, 0.95, 0.9, 0.75, 0.5, 0.25, 0.1, 0.05, 0.01, 0.001, 0};

std::string quantile_name(double share) {
  if (share == 1) return "Maximum";
  if (share == 0) return "Minimum";
  return share == 0.5 ? "Median" : fmt::format("{:4.1f}%", 100 * share);
}

nlohmann::ordered_json with_quantiles(const estimate& mean, std::span<const double> sorted) {
  nlohmann::ordered_json out = to_json(mean), quantiles = nlohmann::ordered_json::array();
  for (const double share : shares) quantiles.push_back({share, quantile(sorted, share)});
  out["quantiles"] = quantiles;
  return out;
}

}  // namespace

std::string to_text(const divergence_statistics& s) {
  constexpr const char* pm = "\u00b1";
  std::string out = "====== Perplexity statistics ======\n";
  const auto line = [&](const char* name, const estimate& e) {
    out += fmt::format("{:<30}: {:10.6f} {} {:10.6f}\n", name, e.value, pm, e.error);
  };
  line("Mean PPL(Q)", s.perplexity);
  line("Mean PPL(base)", s.base_perplexity);
  out += fmt::format("{:<30}: {:6.2f}%\n", "Cor(ln(PPL(Q)), ln(PPL(base)))", 100 * s.correlation);
  line("Mean ln(PPL(Q)/PPL(base))", s.log_ratio);
  line("Mean PPL(Q)/PPL(base)", s.ratio);
  line("Mean PPL(Q)-PPL(base)", s.difference);

  out += "\n====== KL divergence statistics ======\n";
  out += fmt::format("{:<7} KLD: {:10.6f} {} {:10.6f}\n", "Mean", s.kld.value, pm, s.kld.error);
  for (const double share : shares) {
    out += fmt::format("{:<7} KLD: {:10.6f}\n", quantile_name(share), quantile(s.sorted_kld, share));
  }

  out += "\n====== Token probability statistics ======\n";
  constexpr const char* dp = "\u0394p";
  const auto percent = [&](const std::string& name, const estimate& e) {
    out += fmt::format("{}: {:6.3f} {} {:5.3f} %\n", name, 100 * e.value, pm, 100 * e.error);
  };
  percent(fmt::format("{:<7} {}", "Mean", dp), s.delta_p);
  for (const double share : shares) {
    out += fmt::format("{:<7} {}: {:6.3f}%\n", quantile_name(share), dp, 100 * quantile(s.sorted_delta_p, share));
  }
  percent(fmt::format("RMS {}    ", dp), s.delta_p_rms);
  percent("Same top p", s.same_top);
  return out;
}

nlohmann::ordered_json to_json(const divergence_statistics& s) {
  return {{"scored_tokens", s.tokens},
          {"perplexity", to_json(s.perplexity)},
          {"base_perplexity", to_json(s.base_perplexity)},
          {"correlation", s.correlation},
          {"log_ratio", to_json(s.log_ratio)},
          {"ratio", to_json(s.ratio)},
          {"difference", to_json(s.difference)},
          {"kld", with_quantiles(s.kld, s.sorted_kld)},
          {"delta_p", with_quantiles(s.delta_p, s.sorted_delta_p)},
          {"delta_p_rms", to_json(s.delta_p_rms)},
          {"same_top", to_json(s.same_top)}};
}

}  // namespace bq_perplexity
