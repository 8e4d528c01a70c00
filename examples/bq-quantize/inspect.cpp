#include "inspect.hpp"

#include <fmt/format.h>

#include <blockquant/gguf.hpp>
#include <map>
#include <nlohmann/json.hpp>

#include "program/progress.hpp"

namespace bq_quantize {

namespace {

using bq::gguf::value;
using bq::gguf::value_type;
using ordered_json = nlohmann::ordered_json;

constexpr std::size_t shown_elements = 6, shown_bytes = 96;

ordered_json element_json(const value& v, std::size_t i) {
  switch (v.element_type()) {
    case value_type::string:
      return bq::printable(*v.as_string(i), std::string::npos);
    case value_type::boolean:
      return *v.as_bool(i);
    case value_type::f32:
    case value_type::f64:
      return *v.as_float(i);
    case value_type::u64:
      return *v.as_uint(i);
    default:
      return *v.as_int(i);
  }
}

ordered_json value_json(const value& v) {
  if (v.type() != value_type::array) return element_json(v, 0);
  auto out = ordered_json::array();
  for (std::size_t i = 0; i < v.size(); ++i) out.push_back(element_json(v, i));
  return out;
}

std::string element_text(const value& v, std::size_t i, std::size_t max_bytes) {
  if (v.element_type() == value_type::string) return fmt::format("\"{}\"", bq::printable(*v.as_string(i), max_bytes));
  return element_json(v, i).dump();
}

std::string value_text(const value& v, bool all) {
  const std::size_t max_bytes = all ? std::string::npos : shown_bytes;
  if (v.type() != value_type::array) return element_text(v, 0, max_bytes);
  const std::size_t shown = all ? v.size() : std::min(v.size(), shown_elements);
  std::string out = "[";
  for (std::size_t i = 0; i < shown; ++i) out += (i ? ", " : "") + element_text(v, i, max_bytes);
  if (shown < v.size()) out += fmt::format(", ... {} more", v.size() - shown);
  return out + "]";
}

std::string type_text(const value& v) {
  if (v.type() != value_type::array) return std::string(name(v.type()));
  return fmt::format("{}[{}]", name(v.element_type()), v.size());
}

struct type_sum {
  std::uint64_t tensors = 0, elements = 0, bytes = 0;
};

std::map<std::string, type_sum> sum_by_type(const bq::gguf::model& model) {
  std::map<std::string, type_sum> sums;
  for (const auto& t : model.tensors()) {
    type_sum& s = sums[bq::gguf::label(t.type_id).name];
    ++s.tensors;
    s.elements += static_cast<std::uint64_t>(t.elements());
    s.bytes += t.bytes;
  }
  return sums;
}

std::vector<std::int64_t> shape(const bq::gguf::tensor& t) { return {t.ne.begin(), t.ne.begin() + t.n_dims}; }

void print_json(const bq::gguf::model& model) {
  ordered_json out;
  for (const auto& s : model.shards()) {
    out["files"].push_back({{"path", s.path},
                            {"bytes", s.file_bytes},
                            {"version", s.version},
                            {"byte_order", s.big_endian ? "big" : "little"},
                            {"alignment", s.alignment},
                            {"data_offset", s.data_offset}});
  }
  out["metadata"] = ordered_json::object();
  for (const auto& [key, v] : model.metadata().entries()) {
    out["metadata"][bq::printable(key, std::string::npos)] = {{"type", type_text(v)}, {"value", value_json(v)}};
  }
  out["tensors"] = ordered_json::array();
  for (const auto& t : model.tensors()) {
    const auto label = bq::gguf::label(t.type_id);
    out["tensors"].push_back({{"name", bq::printable(t.name, std::string::npos)},
                              {"type", label.name},
                              {"type_id", t.type_id},
                              {"type_owner", label.owner},
                              {"shape", shape(t)},
                              {"bytes", t.bytes},
                              {"file", t.shard},
                              {"offset", t.offset}});
  }
  for (const auto& [type, s] : sum_by_type(model)) {
    out["types"][type] = {{"tensors", s.tensors}, {"elements", s.elements}, {"bytes", s.bytes}};
  }
  fmt::print("{}\n", out.dump(2, ' ', false, ordered_json::error_handler_t::replace));
}

void print_text(const bq::gguf::model& model, bool all) {
  for (const auto& s : model.shards()) {
    fmt::print("{}: {}, GGUF {}, {} endian, alignment {}, data at {}\n", bq::printable(s.path, std::string::npos),
               bq_program::human_bytes(s.file_bytes), s.version, s.big_endian ? "big" : "little", s.alignment,
               s.data_offset);
  }
  fmt::print("\nMetadata ({} keys)\n", model.metadata().entries().size());
  for (const auto& [key, v] : model.metadata().entries()) {
    fmt::print("  {:<40} {:<12} {}\n", bq::printable(key), type_text(v), value_text(v, all));
  }
  fmt::print("\nTensors ({})\n", model.tensors().size());
  std::uint64_t elements = 0, bytes = 0;
  for (const auto& t : model.tensors()) {
    const auto label = bq::gguf::label(t.type_id);
    const std::string type =
        label.owner == "ggml" || label.owner.empty() ? label.name : label.name + " of " + label.owner;
    fmt::print("  {:<40} {:<8} {:>24}  {:>10}  at {}\n", bq::printable(t.name), type,
               fmt::format("{}", fmt::join(shape(t), " x ")), bq_program::human_bytes(t.bytes), t.offset);
    elements += static_cast<std::uint64_t>(t.elements());
    bytes += t.bytes;
  }
  fmt::print("\nTypes\n");
  for (const auto& [type, s] : sum_by_type(model)) {
    fmt::print("  {:<8} {:>6} tensors  {:>14} weights  {:>10}\n", type, s.tensors, s.elements,
               bq_program::human_bytes(s.bytes));
  }
  if (elements > 0) {
    fmt::print("  all      {:>6} tensors  {:>14} weights  {:>10}  {:.3f} bits per weight\n", model.tensors().size(),
               elements, bq_program::human_bytes(bytes),
               8.0 * static_cast<double>(bytes) / static_cast<double>(elements));
  }
}

}  // namespace

void inspect(const std::string& path, const inspect_options& options) {
  const auto model = bq::gguf::model::open(path);
  if (options.json) {
    print_json(model);
  } else {
    print_text(model, options.all);
  }
}

}  // namespace bq_quantize
