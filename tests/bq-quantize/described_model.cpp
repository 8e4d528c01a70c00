#include "described_model.hpp"

#include <blockquant/types.hpp>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>

namespace bq_quantize_test {
namespace {

using bq::gguf::value;

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);) parts.push_back(part);
  return parts;
}

// "0-2,7,5-4" is 0 1 2 7 5 4.
std::vector<int> expand(const std::string& layers) {
  std::vector<int> all;
  for (const std::string& part : split(layers, ',')) {
    const auto ends = split(part, '-');
    const int first = std::stoi(ends.front()), last = std::stoi(ends.back());
    for (int n = first;; n += last >= first ? 1 : -1) {
      all.push_back(n);
      if (n == last) break;
    }
  }
  return all;
}

std::string with_layer(std::string pattern, int layer) {
  return pattern.replace(pattern.find('*'), 1, std::to_string(layer));
}

value parse_value(const std::string& kind, const std::string& text) {
  if (kind == "str") return value::of_string(text);
  if (kind == "u32") return value::of_u32(static_cast<std::uint32_t>(std::stoul(text)));
  if (kind == "f32") return value::of_f32(std::stof(text));
  if (kind == "bool") return value::of_bool(text == "true");
  if (kind != "arr:i32") throw std::runtime_error("a value of type " + kind);
  std::vector<std::int32_t> items;
  for (const std::string& item : split(text, ',')) items.push_back(std::stoi(item));
  return value::of_i32s(items);
}

bq::gguf::tensor parse_tensor(const std::string& name, const std::string& type, const std::string& dims) {
  bq::gguf::tensor t;
  t.name = name;
  t.n_dims = 0;
  for (const std::string& d : split(dims, 'x')) t.ne[t.n_dims++] = std::stoll(d);
  const bq::type_info* info = bq::find_type(type);
  if (!info) throw std::runtime_error("a tensor of type " + type);
  t.type_id = static_cast<std::uint32_t>(info->id);
  t.bytes = static_cast<std::uint64_t>(t.rows()) * bq::row_bytes(info->id, t.cols());
  return t;
}

void parse_row(answer& a, const std::string& line) {
  std::istringstream in(line);
  std::string name, type, layers;
  in >> name;
  const bool many = name.find('*') != name.npos;
  while (in >> type) {
    if (!many) {
      a.types[name] = type;
      continue;
    }
    in >> layers;
    for (const int layer : expand(layers)) a.types[with_layer(name, layer)] = type;
  }
}

}  // namespace

described_model parse_model(const std::string& text) {
  described_model m;
  std::uint64_t offset = 0;
  const auto add = [&](bq::gguf::tensor t) {
    t.offset = offset;
    offset += t.bytes;
    m.tensors.push_back(std::move(t));
  };
  for (const std::string& line : split(text, '\n')) {
    std::istringstream in(line);
    std::string word, name, kind, rest, layers;
    in >> word >> name >> kind >> rest;
    if (word == "meta") m.metadata.set(name, parse_value(kind, rest));
    if (word != "tensor") continue;
    if (!(in >> layers)) add(parse_tensor(name, kind, rest));
    for (const int layer : expand(layers)) add(parse_tensor(with_layer(name, layer), kind, rest));
  }
  return m;
}

described_model read_model(const std::string& path) { return parse_model(read_file(path)); }

std::vector<answer> read_answers(const std::string& path) {
  std::vector<answer> answers(1);
  for (const std::string& line : split(read_file(path), '\n')) {
    if (line.empty())
      answers.emplace_back();
    else if (line.starts_with("run "))
      answers.back().runs.push_back(line.substr(4));
    else if (line == "refused")
      answers.back().refused = true;
    else
      parse_row(answers.back(), line);
  }
  return answers;
}

imatrix_file::imatrix_file(const std::string& bytes) {
  static int serial = 0;
  const auto name =
      "bq-imatrix-" + std::to_string(reinterpret_cast<std::uintptr_t>(this)) + "-" + std::to_string(serial++) + ".dat";
  path_ = (std::filesystem::temp_directory_path() / name).string();
  std::ofstream(path_, std::ios::binary) << bytes;
}

namespace {

template <class Number>
void append(std::string& bytes, Number n) {
  bytes.append(reinterpret_cast<const char*>(&n), sizeof n);
}

std::string legacy_form(const std::map<std::string, std::vector<float>>& entries, int calls) {
  std::string bytes;
  append<std::int32_t>(bytes, static_cast<std::int32_t>(entries.size()));
  for (const auto& [name, values] : entries) {
    append<std::int32_t>(bytes, static_cast<std::int32_t>(name.size()));
    bytes += name;
    append<std::int32_t>(bytes, calls);
    append<std::int32_t>(bytes, static_cast<std::int32_t>(values.size()));
    for (const float v : values) append<float>(bytes, v);
  }
  return bytes;
}

}  // namespace

imatrix_file::imatrix_file(const std::map<std::string, std::vector<float>>& entries, int calls)
    : imatrix_file(legacy_form(entries, calls)) {}

imatrix_file::~imatrix_file() { std::filesystem::remove(path_); }

}  // namespace bq_quantize_test
