// Follows llama-quantize (src/llama-quant.cpp, tools/quantize). Beyond it, pruning also shortens what the
// metadata counts per layer, without which the file would not load.
#include "metadata_edit.hpp"

#include <algorithm>
#include <blockquant/error.hpp>
#include <charconv>
#include <limits>
#include <optional>
#include <set>
#include <utility>

namespace bq_quantize {
namespace {

using bq::gguf::metadata;
using bq::gguf::value;
using bq::gguf::value_type;

constexpr std::uint32_t quantization_version = 2;  // of ggml's block layouts
constexpr std::size_t longest_provenance = 127;    // bytes, as llama-quantize cuts them

[[noreturn]] void bad_option(std::string message, std::string_view text, std::string expected) {
  throw bq::error({.code = bq::errc::invalid_argument,
                   .message = std::move(message),
                   .expected = std::move(expected),
                   .found = std::string(text)});
}

template <class Number>
std::optional<Number> whole_number(std::string_view text) {
  Number n{};
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (failure != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return n;
}

struct named_layer {
  std::size_t at, length;  // of the digits
  std::int64_t layer;
};

// The first "blk.N." anywhere in a name: encoders and decoders put a word in front.
std::optional<named_layer> find_layer(std::string_view name) {
  constexpr std::string_view prefix = "blk.";
  for (std::size_t at = name.find(prefix); at != name.npos; at = name.find(prefix, at + 1)) {
    const std::size_t digits = at + prefix.size();
    const std::size_t end = std::min(name.find_first_not_of("0123456789", digits), name.size());
    const auto layer = whole_number<std::int64_t>(name.substr(digits, end - digits));
    if (layer && name.substr(end, 1) == ".") return named_layer{digits, end - digits, *layer};
  }
  return std::nullopt;
}

// Keys below <architecture>. that may hold one number per layer.
constexpr std::string_view per_layer_keys[] = {
    "feed_forward_length",        "expert_feed_forward_length", "expert_used_count",
    "attention.head_count",       "attention.head_count_kv",    "attention.sliding_window_pattern",
    "attention.recurrent_layers", "attention.compress_ratios",  "attention.indexer.types",
    "swiglu_clamp_exp",           "swiglu_clamp_shexp",
};

std::int64_t integer_at(const value& v, std::size_t i) {
  if (const auto flag = v.as_bool(i)) return *flag;
  return v.as_int(i).value_or(0);
}

// The elements of `v` that belong to layers that stay. Integers and truth values become i32, which readers take for
// both.
value without_layers(const value& v, const layer_map& layers) {
  std::vector<std::int32_t> integers;
  std::vector<float> floats;
  const bool real = v.element_type() == value_type::f32 || v.element_type() == value_type::f64;
  for (std::size_t i = 0; i < v.size(); ++i) {
    const auto layer = layers.find(static_cast<std::int64_t>(i));
    if (layer != layers.end() && layer->second < 0) continue;
    if (real)
      floats.push_back(static_cast<float>(v.as_float(i).value_or(0)));
    else
      integers.push_back(static_cast<std::int32_t>(integer_at(v, i)));
  }
  return real ? value::of_f32s(floats) : value::of_i32s(integers);
}

void drop_layers(metadata& meta, const layer_map& layers) {
  const value* name = meta.find("general.architecture");
  const std::string prefix = std::string(name ? name->as_string().value_or("") : "") + ".";
  const value* blocks = meta.find(prefix + "block_count");
  const auto old_count = blocks ? blocks->as_uint() : std::nullopt;
  for (const std::string_view key : per_layer_keys) {
    const value* v = meta.find(prefix + std::string(key));
    if (v && v->type() == value_type::array && v->size() == old_count)
      meta.set(prefix + std::string(key), without_layers(*v, layers));
  }
  std::int64_t count = 0;
  for (const auto& [from, to] : layers) count = std::max(count, to + 1);
  meta.set(prefix + "block_count", value::of_u32(static_cast<std::uint32_t>(count)));
}

void add_provenance(metadata& meta, const imatrix& importance) {
  const auto cut = [](std::string_view text) { return value::of_string(text.substr(0, longest_provenance)); };
  meta.set("quantize.imatrix.file", cut(importance.path()));
  if (!importance.datasets().empty()) meta.set("quantize.imatrix.dataset", cut(importance.datasets().front()));
  meta.set("quantize.imatrix.entries_count", value::of_u32(static_cast<std::uint32_t>(importance.size())));
  if (importance.chunks() > 0)
    meta.set("quantize.imatrix.chunks_count", value::of_u32(static_cast<std::uint32_t>(importance.chunks())));
}

value parse_value(std::string_view kind, std::string_view text) {
  if (kind == "int") {
    if (const auto n = whole_number<std::uint32_t>(text)) return value::of_u32(*n);
    bad_option("--override-kv stores integers as u32", text, "0 to 4294967295");
  }
  if (kind == "float") {
    if (const auto x = whole_number<double>(text)) return value::of_f32(static_cast<float>(*x));
    bad_option("--override-kv with a value that is no number", text, "a number");
  }
  if (kind == "bool") {
    if (text == "true" || text == "false") return value::of_bool(text == "true");
    bad_option("--override-kv with a value that is no truth value", text, "true or false");
  }
  if (kind == "str") return value::of_string(text);
  bad_option("--override-kv with an unknown type", kind, "int, float, bool or str");
}

}  // namespace

override_kv parse_override(std::string_view text) {
  const auto equals = text.find('=');
  const auto colon = text.find(':', std::min(equals, text.size()));
  if (equals == 0 || equals == text.npos || colon == text.npos)
    bad_option("--override-kv cannot be understood", text, "KEY=TYPE:VALUE");
  return {std::string(text.substr(0, equals)),
          parse_value(text.substr(equals + 1, colon - equals - 1), text.substr(colon + 1))};
}

std::vector<std::int64_t> parse_layers(std::string_view text) {
  std::set<std::int64_t> layers;
  for (std::string_view rest = text;;) {
    const auto comma = std::min(rest.find(','), rest.size());
    const auto layer = whole_number<std::uint32_t>(rest.substr(0, comma));
    if (!layer) bad_option("--prune-layers cannot be understood", text, "layer numbers with commas between them");
    layers.insert(*layer);
    if (comma == rest.size()) break;
    rest.remove_prefix(comma + 1);
  }
  return {layers.begin(), layers.end()};
}

layer_map renumber(std::span<const bq::gguf::tensor> tensors, std::span<const std::int64_t> pruned) {
  layer_map layers;
  if (pruned.empty()) return layers;
  for (const auto& t : tensors)
    if (const auto found = find_layer(t.name)) layers[found->layer] = found->layer;
  for (const std::int64_t layer : pruned) {
    const auto found = layers.find(layer);
    if (found == layers.end())
      throw bq::error({.code = bq::errc::out_of_range,
                       .message = "a layer to be pruned does not exist",
                       .subject = "--prune-layers",
                       .expected = layers.empty() ? "a model with tensors blk.N."
                                                  : "layers up to " + std::to_string(layers.rbegin()->first),
                       .found = std::to_string(layer)});
    found->second = -1;
  }
  // Numbers below the first gap stay as they are, even if the input had gaps of its own.
  std::int64_t next = -1;
  for (auto& [from, to] : layers) {
    if (to >= 0 && from > pruned.front()) to = std::max<std::int64_t>(next, 0);
    if (to >= 0) next = to + 1;
  }
  if (next < 0)
    throw bq::error(
        {.code = bq::errc::invalid_argument, .message = "pruning would leave no layer", .subject = "--prune-layers"});
  return layers;
}

std::string renamed(std::string_view name, const layer_map& layers) {
  std::string result(name);
  if (layers.empty()) return result;
  if (const auto found = find_layer(name)) {
    const std::int64_t layer = layers.at(found->layer);
    if (layer < 0) return {};
    result.replace(found->at, found->length, std::to_string(layer));
  }
  return result;
}

metadata overridden(const metadata& input, std::span<const override_kv> overrides) {
  metadata meta = input;
  for (const override_kv& o : overrides) meta.set(o.key, o.value);
  return meta;
}

metadata output_metadata(const metadata& input, const target& t, const layer_map& layers,
                         std::span<const override_kv> overrides, const imatrix* importance) {
  metadata meta = input;
  meta.set("general.quantization_version", value::of_u32(quantization_version));
  if (!t.copies()) meta.set("general.file_type", value::of_u32(t.file_type));
  for (const char* key : {"split.no", "split.count", "split.tensors.count"}) meta.erase(key);
  meta = overridden(meta, overrides);
  if (importance && importance->size() > 0) add_provenance(meta, *importance);
  if (!layers.empty()) drop_layers(meta, layers);
  return meta;
}

}  // namespace bq_quantize
