// A plan in print: the table and the JSON of --dry-run.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "plan.hpp"

namespace bq_quantize {
namespace {

struct type_sum {
  std::size_t tensors = 0;
  std::uint64_t parameters = 0, bytes = 0;
};

std::string type_name(std::uint32_t id) { return bq::gguf::label(id).name; }

std::map<std::string, type_sum> by_type(const plan& p) {
  std::map<std::string, type_sum> sums;
  for (const planned_tensor& t : p.tensors) {
    type_sum& s = sums[type_name(t.out.type_id)];
    ++s.tensors;
    s.parameters += static_cast<std::uint64_t>(t.out.elements());
    s.bytes += t.out.bytes;
  }
  return sums;
}

std::string shape_text(const bq::gguf::tensor_shape& t) {
  std::string text = std::to_string(t.ne[0]);
  for (std::uint32_t d = 1; d < t.n_dims; ++d) text += fmt::format(" x {}", t.ne[d]);
  return text;
}

std::string mebibytes(std::uint64_t bytes) { return fmt::format("{:.2f} MiB", static_cast<double>(bytes) / (1 << 20)); }

nlohmann::json to_json(const bq::error_info& e) {
  return {{"code", bq::name(e.code)}, {"message", e.message}, {"file", e.file},    {"subject", e.subject},
          {"expected", e.expected},   {"found", e.found},     {"advice", e.advice}};
}

}  // namespace

std::string to_table(const plan& p) {
  std::size_t name_width = 4, shape_width = 5;
  for (const planned_tensor& t : p.tensors) {
    name_width = std::max(name_width, bq::printable(t.out.name).size());
    shape_width = std::max(shape_width, shape_text(t.out).size());
  }
  std::string text;
  for (const planned_tensor& t : p.tensors)
    text += fmt::format("{:<{}}  {:>{}}  {:>6} -> {:<6} {:>12} -> {:>12}  {}\n", bq::printable(t.out.name), name_width,
                        shape_text(t.out), shape_width, type_name(t.from), type_name(t.out.type_id),
                        mebibytes(t.bytes_in), mebibytes(t.out.bytes), t.reason);
  text += "\n";
  for (const auto& [name, s] : by_type(p))
    text += fmt::format("{:<8} {:>5} tensors {:>16} parameters {:>14}\n", name, s.tensors, s.parameters,
                        mebibytes(s.bytes));
  const auto bits_in = p.parameters ? 8.0 * static_cast<double>(p.bytes_in) / static_cast<double>(p.parameters) : 0;
  text += fmt::format("\nweights  {} ({:.2f} bits per weight) -> {} ({:.2f} bits per weight), {} parameters\n",
                      mebibytes(p.bytes_in), bits_in, mebibytes(p.bytes_out), p.bits_per_weight(), p.parameters);
  text += fmt::format("file     {}\n", mebibytes(gguf_file_bytes(p.metadata, p.tensors)));
  if (p.fallback_tensors)
    text += fmt::format("fallback {} of {} tensors, {:.1f} % of the parameters, do not fit the type they should have\n",
                        p.fallback_tensors, p.tensors.size(), 100 * p.fallback_share());
  if (!p.uncovered.empty()) {
    text += fmt::format("{} weights are not covered by the importance matrix:\n", p.uncovered.size());
    for (const std::string& name : p.uncovered) text += fmt::format("  {}\n", bq::printable(name));
  }
  for (const std::string& warning : p.warnings) text += fmt::format("warning: {}\n", warning);
  for (const bq::error_info& e : p.refusals) text += fmt::format("refused: {}\n", bq::error(e).what());
  return text;
}

nlohmann::json to_json(const plan& p) {
  using nlohmann::json;
  json tensors = json::array();
  for (const planned_tensor& t : p.tensors) {
    tensors.push_back({{"name", bq::printable(t.out.name)},
                       {"from", type_name(t.from)},
                       {"to", type_name(t.out.type_id)},
                       {"bytes_in", t.bytes_in},
                       {"bytes_out", t.out.bytes},
                       {"shape", std::vector(t.out.ne.begin(), t.out.ne.begin() + t.out.n_dims)},
                       {"reason", t.reason},
                       {"fallback", t.fell_back_from.has_value()},
                       {"importance", t.has_importance}});
  }
  json types = json::object();
  for (const auto& [name, s] : by_type(p))
    types[name] = {{"tensors", s.tensors}, {"parameters", s.parameters}, {"bytes", s.bytes}};
  json uncovered = json::array(), refusals = json::array();
  for (const std::string& name : p.uncovered) uncovered.push_back(bq::printable(name));
  for (const bq::error_info& e : p.refusals) refusals.push_back(to_json(e));
  return {{"tensors", std::move(tensors)},
          {"file_size", gguf_file_bytes(p.metadata, p.tensors)},
          {"tensor_bytes_in", p.bytes_in},
          {"tensor_bytes_out", p.bytes_out},
          {"parameters", p.parameters},
          {"bits_per_weight", p.bits_per_weight()},
          {"types", std::move(types)},
          {"fallback",
           {{"tensors", p.fallback_tensors}, {"parameters", p.fallback_parameters}, {"share", p.fallback_share()}}},
          {"uncovered", std::move(uncovered)},
          {"warnings", p.warnings},
          {"refusals", std::move(refusals)}};
}

}  // namespace bq_quantize
