#include "report.hpp"

#include <fmt/format.h>

#include <utility>

#include "run.hpp"

namespace bq_bench {
namespace {

using json = nlohmann::ordered_json;

json or_null(bool there, json value) { return there ? std::move(value) : json(nullptr); }

// Of the unit that does the products of float weights; the int8 peak says nothing about them.
json fma_fraction(const result& r, const machine& m) {
  return or_null(r.gops > 0 && !r.setup.format->quantized, r.gops / (r.setup.threads * m.f32_gops));
}

std::string plain(const json& v) { return v.is_string() ? v.get<std::string>() : v.dump(); }
std::string milliseconds(const json& v) { return fmt::format("{:.3f}", v.get<double>() * 1e3); }
std::string percent(const json& v) { return fmt::format("{:.1f}", v.get<double>() * 100); }
std::string rate(const json& v) {
  const auto x = v.get<double>();
  return fmt::format("{:.{}f}", x, x < 10 ? 2 : 1);
}
std::string error(const json& v) { return fmt::format("{:.1e}", v.get<double>()); }
std::string factor(const json& v) { return fmt::format("{:.2f}", v.get<double>()); }

struct column {
  const char* key;
  json (*value)(const result&, const machine&);
  // The table's: null where the column is not part of it.
  const char* title = nullptr;
  int width = 0;  // negative: left aligned
  std::string (*text)(const json&) = nullptr;
};

constexpr column columns[] = {
    {"op", [](const result& r, const machine&) { return json(r.setup.op); }, "op", -10, plain},
    {"format", [](const result& r, const machine&) { return json(r.setup.format->name); }, "format", -6, plain},
    {"isa",
     [](const result& r, const machine&) { return or_null(r.peer.empty() && !r.setup.isa.empty(), r.setup.isa); },
     "isa", -6, plain},
    {"tier",
     [](const result& r, const machine&) { return or_null(r.peer.empty() && r.setup.tokens > 0, name(r.setup.tier)); },
     "tier", -7, plain},
    {"rows", [](const result& r, const machine&) { return json(r.setup.rows); }, "rows", 6, plain},
    {"cols", [](const result& r, const machine&) { return json(r.setup.cols); }, "cols", 6, plain},
    {"tokens", [](const result& r, const machine&) { return or_null(r.setup.tokens > 0, r.setup.tokens); }, "tokens", 6,
     plain},
    {"threads", [](const result& r, const machine&) { return json(r.setup.threads); }, "thr", 3, plain},
    {"seconds", [](const result& r, const machine&) { return json(r.seconds); }, "ms", 9, milliseconds},
    {"best_seconds", [](const result& r, const machine&) { return json(r.best); }, "best ms", 9, milliseconds},
    {"spread", [](const result& r, const machine&) { return json(r.spread); }, "spread%", 7, percent},
    {"gops", [](const result& r, const machine&) { return or_null(r.gops > 0, r.gops); }, "GOP/s", 7, rate},
    {"gbps", [](const result& r, const machine&) { return json(r.gbps); }, "GB/s", 6, rate},
    {"peak_fraction",
     [](const result& r, const machine& m) { return or_null(r.gops > 0, r.gops / (r.setup.threads * m.int8_gops)); },
     "int8%", 6, percent},
    {"fma_fraction", fma_fraction, "fma%", 6, percent},
    {"bandwidth_fraction",
     [](const result& r, const machine& m) { return json(r.gbps / m.read_gbps.at(r.setup.threads)); }, "read%", 6,
     percent},
    {"max_error", [](const result& r, const machine&) { return json(r.max_error); }, "error", 8, error},
    {"ratio", [](const result& r, const machine&) { return r.ratio ? json(*r.ratio) : json(nullptr); }, "ratio", 6,
     factor},
    {"neighbour_ratio", [](const result& r, const machine&) { return r.busy ? json(*r.busy) : json(nullptr); }, "busy",
     5, factor},
    {"peer", [](const result& r, const machine&) { return or_null(!r.peer.empty(), r.peer); }, "peer", -1, plain},
    {"cached", [](const result& r, const machine&) { return json(r.setup.cached); }},
    {"repetitions", [](const result& r, const machine&) { return json(r.repetitions); }},
    {"cpu", [](const result&, const machine& m) { return json(m.cpu); }},
    {"int8_instruction", [](const result&, const machine& m) { return json(m.int8_instruction); }},
    {"int8_peak_gops", [](const result&, const machine& m) { return json(m.int8_gops); }},
    {"f32_peak_gops", [](const result&, const machine& m) { return json(m.f32_gops); }},
    {"read_gbps", [](const result& r, const machine& m) { return json(m.read_gbps.at(r.setup.threads)); }},
};

std::string align(const std::string& text, int width) {
  return width < 0 ? fmt::format("{:<{}}", text, -width) : fmt::format("{:>{}}", text, width);
}

template <class Text>
std::string text_line(const Text& text) {
  std::string line;
  for (const column& c : columns) {
    if (c.title) line += (line.empty() ? "" : "  ") + align(text(c), c.width);
  }
  line.erase(line.find_last_not_of(' ') + 1);
  return line + "\n";
}

// Quoted where it has to be; null is empty.
std::string csv_field(const json& v) {
  if (v.is_null()) return {};
  const std::string text = plain(v);
  if (text.find_first_of(",\"\n") == text.npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

template <class Field>
std::string csv_line(const Field& field) {
  std::string line;
  for (const column& c : columns) line += (line.empty() ? "" : ",") + field(c);
  return line + "\n";
}

}  // namespace

json to_json(const result& r, const machine& m) {
  json out;
  for (const column& c : columns) out[c.key] = c.value(r, m);
  return out;
}

std::string csv_header() {
  return csv_line([](const column& c) { return std::string(c.key); });
}

std::string csv_row(const result& r, const machine& m) {
  return csv_line([&](const column& c) { return csv_field(c.value(r, m)); });
}

std::string text_header(const machine& m) {
  std::string out =
      fmt::format("{}, {} threads, last-level cache {} MiB\n", m.cpu, m.threads, m.last_level_cache >> 20);
  out += fmt::format("int8 {:.0f} GOP/s per thread ({}), f32 {:.0f} GOP/s per thread ({}), DRAM reads", m.int8_gops,
                     m.int8_instruction, m.f32_gops, m.f32_instruction);
  const char* separator = " ";
  for (const auto& [threads, gbps] : m.read_gbps)
    out += fmt::format("{}{:.1f} GB/s with {}", std::exchange(separator, ", "), gbps, threads);
  return out + "\n\n" + text_line([](const column& c) { return std::string(c.title); });
}

std::string text_row(const result& r, const machine& m) {
  return text_line([&](const column& c) {
    const json v = c.value(r, m);
    return v.is_null() ? std::string("-") : c.text(v);
  });
}

}  // namespace bq_bench
