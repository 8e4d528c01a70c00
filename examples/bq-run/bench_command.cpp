// bq-run --bench: tokens per second of prompts (pp N: N tokens in one go) and of generation (tg N: N tokens one by one,
// each with its logits), as llama-bench measures them: from an empty cache, on random tokens, after one run that does
// not count. The spread is the standard deviation of the repetitions.
#include <fmt/format.h>

#include <algorithm>
#include <blockquant/types.hpp>
#include <cmath>
#include <numeric>
#include <random>

#include "report.hpp"
#include "request.hpp"

namespace bq_run {

namespace {

using ordered_json = nlohmann::ordered_json;

struct interrupted {};

struct series {
  std::vector<double> values;
  double mean() const {
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  }
  double deviation() const {
    if (values.size() < 2) return 0;
    double sum = 0;
    for (const double v : values) sum += (v - mean()) * (v - mean());
    return std::sqrt(sum / static_cast<double>(values.size() - 1));
  }
};

struct measurement {
  bool prompt;  // or generation
  std::int64_t tokens;
  std::string name() const { return fmt::format("{}{}", prompt ? "pp" : "tg", tokens); }
};

// Milliseconds of one run.
double run_once(session& s, const measurement& m, std::span<const int> ids, const interrupt& stop) {
  s.forget();
  const stopwatch time;
  for (std::size_t n = m.prompt ? ids.size() : 1; n <= ids.size(); ++n) {
    if (!s.evaluate(ids.first(n), stop)) throw interrupted();
  }
  return time.ms();
}

series speeds(session& s, const measurement& m, int repetitions, const interrupt& stop) {
  std::mt19937 random(1);
  std::vector<int> ids(static_cast<std::size_t>(m.tokens));
  for (int& id : ids) id = static_cast<int>(random() % static_cast<std::uint32_t>(s.language().model.vocabulary));
  run_once(s, m, std::span(ids).first(m.prompt ? ids.size() : 1), stop);
  series out;
  for (int i = 0; i < repetitions; ++i) {
    out.values.push_back(1000.0 * static_cast<double>(m.tokens) / run_once(s, m, ids, stop));
  }
  return out;
}

ordered_json to_json(const session& s, const bench_request& r, const measurement& m, const series& tokens_per_second) {
  const auto& language = s.language();
  return {{"model", r.model},
          {"architecture", language.file.architecture()},
          {"model_size", language.file_bytes()},
          {"model_n_params", language.parameters()},
          {"n_threads", s.threads()},
          {"tier", bq_program::name(r.tier)},
          {"type_k", bq::info(r.keys).name},
          {"type_v", bq::info(r.values).name},
          {"load_ms", s.load_ms()},
          {"test", m.name()},
          {"n_prompt", m.prompt ? m.tokens : 0},
          {"n_gen", m.prompt ? 0 : m.tokens},
          {"avg_ts", tokens_per_second.mean()},
          {"stddev_ts", tokens_per_second.deviation()},
          {"samples_ts", tokens_per_second.values},
          {"peak_rss", peak_rss()}};
}

}  // namespace

int bench_command(const bench_request& r) {
  std::vector<measurement> all;
  for (const std::int64_t n : r.prompt_lengths) all.push_back({true, n});
  for (const std::int64_t n : r.generated_lengths) all.push_back({false, n});
  all.erase(std::remove_if(all.begin(), all.end(), [](const measurement& m) { return m.tokens == 0; }), all.end());

  session_options options = r;
  if (options.context < 0) {
    for (const measurement& m : all) options.context = std::max(options.context, m.tokens);
  }
  const interrupt stop;
  session s(options);
  if (!r.quiet) print_loaded(s);
  auto out = ordered_json::array();
  int exit_code = 0;
  if (!r.json) fmt::print("| {:<8} | {:>24} |\n| -------- | ------------------------ |\n", "test", "tokens/s");
  try {
    for (const measurement& m : all) {
      const series result = speeds(s, m, r.repetitions, stop);
      if (r.json)
        out.push_back(to_json(s, r, m, result));
      else
        fmt::print("| {:<8} | {:>13.2f} +/- {:>6.2f} |\n", m.name(), result.mean(), result.deviation());
      std::fflush(stdout);
    }
  } catch (const interrupted&) {
    exit_code = interrupted_exit_code;
  }
  if (r.json) fmt::print("{}\n", out.dump(2, ' ', false, ordered_json::error_handler_t::replace));
  return exit_code;
}

}  // namespace bq_run
