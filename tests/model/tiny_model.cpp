#include "tiny_model.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

namespace test {

namespace {

using bq::gguf::value;

constexpr std::int64_t embedding = 64, feed_forward = 96, heads = 4, kv_heads = 2;

std::uint64_t mixed(std::uint64_t x) {  // splitmix64
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

// Norms about 1, everything else about as large as keeps a layer's output as large as its input.
std::vector<float> weights(const bq::gguf::tensor_shape& t) {
  std::uint64_t seed = 0;
  for (const char c : t.name) seed = mixed(seed ^ static_cast<unsigned char>(c));
  const bool positive = t.name.find("norm") != std::string::npos || t.name.find("freqs") != std::string::npos;
  const double size = positive ? 0.5 : t.rows() == 1 ? 1.0 : 3.0 / std::sqrt(static_cast<double>(t.cols()));
  std::vector<float> out(static_cast<std::size_t>(t.elements()));
  for (std::size_t i = 0; i < out.size(); ++i) {
    const double unit = static_cast<double>(mixed(seed + i) >> 11) * 0x1p-53;
    out[i] = static_cast<float>((2 * unit - 1) * size + (positive ? 1.0 : 0.0));
  }
  return out;
}

}  // namespace

void tiny_model::add(std::string name, std::int64_t rows, std::int64_t cols) {
  bq::gguf::tensor_shape t;
  t.name = std::move(name);
  t.n_dims = rows == 1 ? 1 : 2;
  t.ne = {cols, rows, 1, 1};
  tensors.push_back(std::move(t));
}

void tiny_model::set(std::string_view key, value v) {
  metadata.set(architecture_ + "." + std::string(key), std::move(v));
}

tiny_model::tiny_model(std::string_view name) : architecture_(name.substr(0, name.find(':'))) {
  const bool gemma = architecture_ == "gemma3", qwen3 = architecture_ == "qwen3";
  const std::string_view scaling = name.substr(std::min(name.size(), architecture_.size() + 1));
  const std::int64_t head_dim = gemma || qwen3 ? 32 : embedding / heads;
  const std::uint32_t layers = gemma ? 7 : 2;
  metadata.set("general.architecture", value::of_string(architecture_));
  metadata.set("tokenizer.ggml.model", value::of_string("no_vocab"));
  const auto count = [&](std::string_view key, std::int64_t n) {
    set(key, value::of_u32(static_cast<std::uint32_t>(n)));
  };
  count("vocab_size", tiny_vocabulary);
  count("context_length", 128);
  count("embedding_length", embedding);
  count("feed_forward_length", feed_forward);
  count("block_count", layers);
  count("attention.head_count", heads);
  count("attention.head_count_kv", kv_heads);
  set("attention.layer_norm_rms_epsilon", value::of_f32(1e-6f));
  set("rope.freq_base", value::of_f32(gemma ? 1e6f : 10000.0f));
  if (gemma || qwen3) count("attention.key_length", head_dim), count("attention.value_length", head_dim);
  if (architecture_ == "llama") count("rope.dimension_count", head_dim);
  if (gemma) count("attention.sliding_window", 4);
  if (scaling == "linear" || scaling == "yarn") {
    set("rope.scaling.type", value::of_string(scaling));
    set("rope.scaling.factor", value::of_f32(scaling == "yarn" ? 4.0f : 8.0f));
    count("rope.scaling.original_context_length", 32);
  }

  add("token_embd.weight", tiny_vocabulary, embedding);
  add("output_norm.weight", 1, embedding);
  if (!gemma) add("output.weight", tiny_vocabulary, embedding);
  if (scaling == "factors") add("rope_freqs.weight", 1, head_dim / 2);
  for (std::uint32_t i = 0; i < layers; ++i) {
    const auto in_layer = [&](const char* what, std::int64_t rows, std::int64_t cols) {
      add("blk." + std::to_string(i) + "." + what, rows, cols);
    };
    in_layer("attn_norm.weight", 1, embedding);
    in_layer("ffn_norm.weight", 1, embedding);
    in_layer("attn_q.weight", heads * head_dim, embedding);
    in_layer("attn_k.weight", kv_heads * head_dim, embedding);
    in_layer("attn_v.weight", kv_heads * head_dim, embedding);
    in_layer("attn_output.weight", embedding, heads * head_dim);
    in_layer("ffn_gate.weight", feed_forward, embedding);
    in_layer("ffn_up.weight", feed_forward, embedding);
    in_layer("ffn_down.weight", embedding, feed_forward);
    if (architecture_ == "qwen2") {
      in_layer("attn_q.bias", 1, heads * head_dim);
      in_layer("attn_k.bias", 1, kv_heads * head_dim);
      in_layer("attn_v.bias", 1, kv_heads * head_dim);
    }
    if (gemma || qwen3) {
      in_layer("attn_q_norm.weight", 1, head_dim);
      in_layer("attn_k_norm.weight", 1, head_dim);
    }
    if (gemma) {
      in_layer("post_attention_norm.weight", 1, embedding);
      in_layer("post_ffw_norm.weight", 1, embedding);
    }
  }
}

bq::gguf::tensor_shape& tiny_model::tensor(std::string_view name) {
  const auto t = std::find_if(tensors.begin(), tensors.end(), [&](const auto& each) { return each.name == name; });
  REQUIRE(t != tensors.end());
  return *t;
}

void tiny_model::write(const std::string& path) const {
  bq::gguf::writer out(path, metadata, tensors);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const std::vector<float> values = weights(tensors[i]);
    const auto bytes = std::as_bytes(std::span(values));
    out.write(
        i, 0,
        bytes.first(std::min<std::size_t>(bytes.size(), tensors[i].elements() * (tensors[i].type_id == 0 ? 4 : 2))));
  }
  out.commit();
}

}  // namespace test
