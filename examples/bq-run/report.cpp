#include "report.hpp"

#include <fmt/format.h>
#include <sys/resource.h>

#include <blockquant/types.hpp>

#include "program/progress.hpp"

namespace bq_run {

using bq_program::human_bytes;
using ordered_json = nlohmann::ordered_json;

namespace {

std::string speed(std::size_t tokens, double ms) {
  if (tokens == 0) return "0 tokens";
  return fmt::format("{} tokens in {:.1f} ms ({:.1f}/s)", tokens, ms, 1000.0 * static_cast<double>(tokens) / ms);
}

std::string_view explanation(stop_reason reason) {
  switch (reason) {
    case stop_reason::end:
      return "the model ended the text";
    case stop_reason::stop_string:
      return "found a stop string";
    case stop_reason::limit:
      return "reached -n";
    case stop_reason::context:
      return "the context is full (-c)";
    case stop_reason::interrupted:
      return "interrupted";
  }
  return {};
}

}  // namespace

std::uint64_t peak_rss() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

void print_loaded(const session& s) {
  const auto& m = s.language();
  fmt::print(stderr, "{}, {:.1f} M parameters, {}, loaded in {:.1f} ms; {} threads; context {} tokens, cache {}\n",
             bq::printable(m.file.architecture()), static_cast<double>(m.parameters()) / 1e6,
             human_bytes(m.file_bytes()), s.load_ms(), s.threads(), s.context(), human_bytes(s.cache().bytes()));
  if (s.context() > m.model.context) {
    fmt::print(stderr, "warning: the model was trained for {} tokens, the context holds {}\n", m.model.context,
               s.context());
  }
}

void print_summary(const generation& g, std::uint64_t seed) {
  fmt::print(stderr, "prompt: {}; text: {}; {}; seed {}; peak memory {}\n", speed(g.prompt_tokens, g.prompt_ms),
             speed(g.ids.size(), g.ms), explanation(g.reason), seed, human_bytes(peak_rss()));
}

void print_json(const session& s, const generation& g, std::uint64_t seed) {
  const ordered_json out{{"prompt_ids", g.prompt_ids},
                         {"ids", g.ids},
                         {"text", g.text},
                         {"stop", name(g.reason)},
                         {"seed", seed},
                         {"timings",
                          {{"load_ms", s.load_ms()},
                           {"prompt_tokens", g.prompt_tokens},
                           {"prompt_ms", g.prompt_ms},
                           {"tokens", g.ids.size()},
                           {"ms", g.ms}}},
                         {"peak_rss", peak_rss()}};
  fmt::print("{}\n", out.dump(-1, ' ', false, ordered_json::error_handler_t::replace));
  std::fflush(stdout);
}

}  // namespace bq_run
