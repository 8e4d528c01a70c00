#include "program/compute_options.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <map>
#include <string>

namespace bq_program {

namespace {

constexpr std::array<std::pair<std::string_view, bq::tier>, 3> tier_names{
    {{"exact", bq::tier::exact}, {"precise", bq::tier::precise}, {"fast", bq::tier::fast}}};

bq::type parse_type(const std::string& text) {
  if (const bq::type_info* found = bq::find_type(text)) return found->id;
  throw CLI::ValidationError("no type '" + text + "'; bq-quantize types lists them");
}

}  // namespace

std::string_view name(bq::tier tier) noexcept {
  return std::find_if(tier_names.begin(), tier_names.end(), [&](const auto& t) { return t.second == tier; })->first;
}

void add_compute_options(CLI::App& app, compute_options& options) {
  const std::map<std::string, bq::tier> tiers(tier_names.begin(), tier_names.end());
  app.add_option("-t,--threads", options.threads, "threads; all cores if not given")
      ->type_name("N")
      ->check(CLI::Range(1, 1024));
  app.add_option(
         "--tier", options.tier,
         "rounding in products with quantised weights: exact (activations to 8 bits), precise (to 16 bits; half "
         "as fast) or fast (weights to 8 bits too); exact if not given")
      ->transform(CLI::CheckedTransformer(tiers))
      ->type_name("TIER");
  app.add_option_function<std::string>(
         "-k,--cache-type-k", [&options](const std::string& name) { options.keys = parse_type(name); },
         "type of the cached keys; f16 if not given")
      ->type_name("TYPE");
  app.add_option_function<std::string>(
         "-v,--cache-type-v", [&options](const std::string& name) { options.values = parse_type(name); },
         "type of the cached values; f16 if not given")
      ->type_name("TYPE");
}

}  // namespace bq_program
