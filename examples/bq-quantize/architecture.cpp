// Facts about a model that the type rules ask for, and the list of tensors that are never quantised. Both follow
// llama.cpp (src/llama-model.cpp, src/models/, src/llama-quant.cpp): special cases are those of the architectures named
// here.
#include "architecture.hpp"

#include <algorithm>
#include <blockquant/error.hpp>
#include <blockquant/types.hpp>
#include <charconv>
#include <initializer_list>

namespace bq_quantize {
namespace {

using bq::gguf::metadata;
using bq::gguf::tensor_shape;

constexpr std::string_view layer_prefix = "blk.";
constexpr std::int64_t most = 1 << 20;  // layers, heads, experts: far above any model

// The first element of KEY, which may be a number or an array with one number per layer.
std::optional<std::int64_t> first_number(const metadata& meta, const std::string& key) {
  const bq::gguf::value* v = meta.find(key);
  if (!v || v->size() == 0) return std::nullopt;
  const auto n = v->as_int();
  if (!n)
    throw bq::error({.code = bq::errc::wrong_value_type,
                     .message = "a hyper-parameter is not an integer",
                     .subject = key,
                     .expected = "an integer, or an array of integers",
                     .found = std::string(bq::gguf::name(v->type()))});
  if (*n < 0 || *n > most)
    throw bq::error({.code = bq::errc::bad_value,
                     .message = "a hyper-parameter is out of all proportion",
                     .subject = key,
                     .expected = "0 to " + std::to_string(most),
                     .found = std::to_string(*n)});
  return n;
}

struct layer_count {
  std::string_view architecture;
  std::int64_t layers;
};

// Models of about 70 billion parameters are told by their number of layers.
constexpr layer_count of_70b[] = {{"llama", 80}, {"llama-embed", 80}, {"qwen2", 80},
                                  {"deci", 80},  {"olmo", 80},        {"jais2", 68}};

bool contains_any(std::string_view name, std::initializer_list<std::string_view> parts) {
  return std::any_of(parts.begin(), parts.end(), [&](auto part) { return name.find(part) != name.npos; });
}

bool is_small_and_sensitive(std::string_view name) {
  return contains_any(name, {"altup", "laurel", "per_layer_model_proj", "ssm_conv1d", "shortconv.conv.weight",
                             "indexer.k_proj.weight", "indexer.q_proj.weight"});
}

bool is_rwkv_mixing(std::string_view name) {
  return contains_any(name, {"time_mix_first.weight", "time_mix_w0.weight", "time_mix_w1.weight", "time_mix_w2.weight",
                             "time_mix_v0.weight", "time_mix_v1.weight", "time_mix_v2.weight", "time_mix_a0.weight",
                             "time_mix_a1.weight", "time_mix_a2.weight", "time_mix_g1.weight", "time_mix_g2.weight",
                             "time_mix_decay_w1.weight", "time_mix_decay_w2.weight", "time_mix_lerp_fused.weight"});
}

bool is_position(std::string_view name) {
  return name == "position_embd.weight" || name == "token_types.weight" ||
         contains_any(name, {"attn_rel_b.weight", ".position_embd", "sam.pos_embd", ".rel_pos"});
}

bool is_multimodal(std::string_view name) {
  return contains_any(name,
                      {"sam.neck.", "sam.net_", ".patch_embd", ".patch_merger", "a.rvq.codebook", "mm.a.code_embd"});
}

bool is_glm5_next_projection(std::string_view name) {
  return contains_any(name,
                      {"hc_", "indexer.attn_q_b", "indexer.attn_k", "indexer.proj", "indexer_compressor_gate",
                       "indexer_compressor_ape", "ssm_f_a.weight", "ssm_f_b.weight", "ssm_g_a.weight", "ssm_g_b.weight",
                       "ssm_beta.weight", "attn_kv_a_mqa.weight", "attn_k_b.weight", "attn_v_b.weight"});
}

}  // namespace

architecture read_architecture(const metadata& meta) {
  architecture a;
  if (const auto* name = meta.find("general.architecture")) a.name = name->as_string().value_or("");
  const auto number = [&](std::string_view key) { return first_number(meta, a.name + "." + std::string(key)); };

  const auto block_count = number("block_count");
  a.has_layer_count = block_count.has_value();
  const std::int64_t blocks = block_count.value_or(0);
  a.layers = blocks;
  if (a.name == "graniteswitch") a.layers = blocks + 1;  // its router counts as a layer
  if (a.name == "nanbeige") a.layers = blocks * std::max<std::int64_t>(1, number("num_loops").value_or(1));
  a.experts = number("expert_count").value_or(0);

  const std::int64_t heads = number("attention.head_count").value_or(0);
  const std::int64_t kv_heads = number("attention.head_count_kv").value_or(heads);
  a.gqa = kv_heads ? heads / kv_heads : 0;

  const std::int64_t trunk = blocks - number("nextn_predict_layers").value_or(0);
  const bool sized_like_70b = std::any_of(std::begin(of_70b), std::end(of_70b), [&](const layer_count& c) {
    return c.architecture == a.name && c.layers == trunk;
  });
  const bool is_llama = a.name == "llama" || a.name == "llama-embed";
  a.shaped_like_70b = sized_like_70b && !(is_llama && (heads == kv_heads || a.experts == 8));
  return a;
}

std::optional<std::int64_t> layer_of(std::string_view name) noexcept {
  if (!name.starts_with(layer_prefix)) return std::nullopt;
  name.remove_prefix(layer_prefix.size());
  std::int64_t layer = 0;
  const auto [end, failure] = std::from_chars(name.data(), name.data() + name.size(), layer);
  if (failure != std::errc{} || layer < 0 || end == name.data() + name.size() || *end != '.') return std::nullopt;
  return layer;
}

std::string_view why_kept(const tensor_shape& t, std::string_view arch) noexcept {
  const std::string_view name = t.name;
  if (t.elements() == 0) return "empty";
  if (t.ne[1] <= 1 && t.ne[2] <= 1 && t.ne[3] <= 1) return "1-D";
  if (!name.ends_with("weight")) return "no weight matrix";
  if (name.find("_norm.weight") != name.npos) return "norm";
  if (contains_any(name, {"ffn_gate_inp.weight", "ffn_gate_tid2eid.weight"})) return "router";
  if (is_position(name)) return "position or type embedding";
  if (is_rwkv_mixing(name)) return "RWKV mixing vector";
  if (is_small_and_sensitive(name)) return "small and sensitive";
  if (is_multimodal(name)) return "multimodal input";
  if (arch == "glm5-next" && is_glm5_next_projection(name)) return "small and sensitive";
  const bq::type_info* source = bq::find_type(static_cast<bq::type>(t.type_id));
  if (!source || source->activation_only) return "type not decodable";
  return {};
}

}  // namespace bq_quantize
