#include "decoder.hpp"

#include <array>
#include <blockquant/error.hpp>
#include <cmath>

namespace bq_llm {

namespace {

struct architecture {
  std::string_view name;
  decoder (*describe)(const model_file&);
};

constexpr std::int64_t most_head_dim = 1024;  // of bq::attention

constexpr std::array<architecture, 4> architectures{
    {{"llama", describe_llama}, {"qwen2", describe_qwen2}, {"qwen3", describe_qwen3}, {"gemma3", describe_gemma3}}};

bq::rope_options rope_keys(const model_file& file, std::int64_t head_dim, bq::rope_pairing pairing) {
  bq::rope_options rope{.pairing = pairing,
                        .dims = file.count("rope.dimension_count", head_dim),
                        .base = file.number("rope.freq_base", 10000.0)};
  const std::string scaling = file.text("rope.scaling.type", "none");
  if (scaling == "linear" || scaling == "yarn") {
    rope.scaling = scaling == "linear" ? bq::rope_scaling::linear : bq::rope_scaling::yarn;
    rope.factor = file.number("rope.scaling.factor");
    rope.original_context = file.count("rope.scaling.original_context_length", file.count("context_length"));
    rope.attention_factor = file.number("rope.scaling.attn_factor", 1.0);
    rope.beta_fast = file.number("rope.scaling.yarn_beta_fast", 32.0);
    rope.beta_slow = file.number("rope.scaling.yarn_beta_slow", 1.0);
  } else if (scaling != "none") {
    throw bq::error({.code = bq::errc::unsupported_type,
                     .message = "this scaling of rotary positions is not known",
                     .subject = file.architecture() + ".rope.scaling.type",
                     .expected = "none, linear, yarn",
                     .found = scaling});
  }
  const auto wrong = [&](const char* key, std::string expected, std::string found) {
    throw bq::error({.code = bq::errc::out_of_range,
                     .message = "impossible rotary positions",
                     .file = file.gguf().shards().front().path,
                     .subject = file.architecture() + "." + key,
                     .expected = std::move(expected),
                     .found = std::move(found)});
  };
  if (rope.dims > head_dim || rope.dims % 2 != 0) {
    wrong("rope.dimension_count", "an even number, " + std::to_string(head_dim) + " or less",
          std::to_string(rope.dims));
  }
  if (!(rope.base > 0)) wrong("rope.freq_base", "more than 0", std::to_string(rope.base));
  if (!(rope.factor > 0)) wrong("rope.scaling.factor", "more than 0", std::to_string(rope.factor));
  return rope;
}

}  // namespace

bq::rope_options decoder::rope_of(bool local) const {
  bq::rope_options r = local ? local_rope : rope;
  if (!local) r.factors = rope_factors;
  return r;
}

decoder describe(const model_file& file) {
  std::string known;
  for (const architecture& a : architectures) {
    if (a.name == file.architecture()) return a.describe(file);
    known += (known.empty() ? "" : ", ") + std::string(a.name);
  }
  throw bq::error({.code = bq::errc::unsupported_type,
                   .message = "this architecture is not known",
                   .file = file.gguf().shards().front().path,
                   .subject = "general.architecture",
                   .expected = known,
                   .found = file.architecture()});
}

decoder common_decoder(const model_file& file, bq::rope_pairing pairing) {
  if (file.count("expert_count", 1) != 1) {
    throw bq::error({.code = bq::errc::unsupported_type,
                     .message = "mixtures of experts are not supported",
                     .file = file.gguf().shards().front().path,
                     .subject = file.architecture() + ".expert_count"});
  }
  decoder d;
  d.context = file.count("context_length");
  d.embedding = file.count("embedding_length");
  d.feed_forward = file.count("feed_forward_length");
  d.heads = file.count("attention.head_count");
  d.kv_heads = file.count("attention.head_count_kv", d.heads);
  d.head_dim = file.count("attention.key_length", d.embedding / d.heads);
  if (d.heads % d.kv_heads != 0 || file.count("attention.value_length", d.head_dim) != d.head_dim) {
    throw bq::error({.code = bq::errc::bad_shape,
                     .message = "these attention heads are not supported",
                     .file = file.gguf().shards().front().path,
                     .subject = file.architecture() + ".attention",
                     .expected = "a multiple of the key heads, and values as long as keys",
                     .found = std::to_string(d.heads) + " heads, " + std::to_string(d.kv_heads) + " key heads"});
  }
  if (d.head_dim < 1 || d.head_dim > most_head_dim) {
    throw bq::error({.code = bq::errc::out_of_range,
                     .message = "heads of an impossible size",
                     .file = file.gguf().shards().front().path,
                     .subject = file.architecture() + ".attention.key_length",
                     .expected = "1 to " + std::to_string(most_head_dim),
                     .found = std::to_string(d.head_dim)});
  }
  d.epsilon = static_cast<float>(file.number("attention.layer_norm_rms_epsilon"));
  d.attention_scale = 1.0f / std::sqrt(static_cast<float>(d.head_dim));
  d.rope = rope_keys(file, d.head_dim, pairing);
  d.rope_factors = file.optional_vector("rope_freqs.weight", d.rope.dims / 2);

  const bq::gguf::tensor* embedding = file.gguf().find("token_embd.weight");
  d.vocabulary = embedding ? embedding->rows() : 1;
  const bq::gguf::value* tokens = file.gguf().metadata().find("tokenizer.ggml.tokens");
  if (tokens && static_cast<std::int64_t>(tokens->size()) != d.vocabulary) {
    throw bq::error({.code = bq::errc::bad_shape,
                     .message = "the tokenizer has another number of tokens than the model",
                     .file = file.gguf().shards().front().path,
                     .subject = "tokenizer.ggml.tokens",
                     .expected = std::to_string(d.vocabulary),
                     .found = std::to_string(tokens->size())});
  }
  d.token_embedding = file.weights("token_embd", d.vocabulary, d.embedding);
  d.output_norm = file.vector("output_norm.weight", d.embedding);
  d.output = file.has("output.weight") ? file.weights("output", d.vocabulary, d.embedding) : d.token_embedding;

  const std::int64_t layers = file.count("block_count"), q = d.heads * d.head_dim, kv = d.kv_heads * d.head_dim;
  for (std::int64_t i = 0; i < layers; ++i) {
    const std::string at = "blk." + std::to_string(i) + ".";
    decoder_layer l;
    l.attention_norm = file.vector(at + "attn_norm.weight", d.embedding);
    l.q = file.weights(at + "attn_q", q, d.embedding);
    l.k = file.weights(at + "attn_k", kv, d.embedding);
    l.v = file.weights(at + "attn_v", kv, d.embedding);
    l.attention_output = file.weights(at + "attn_output", d.embedding, q);
    l.feed_forward_norm = file.vector(at + "ffn_norm.weight", d.embedding);
    l.gate = file.weights(at + "ffn_gate", d.feed_forward, d.embedding);
    l.up = file.weights(at + "ffn_up", d.feed_forward, d.embedding);
    l.down = file.weights(at + "ffn_down", d.embedding, d.feed_forward);
    d.layers.push_back(std::move(l));
  }
  return d;
}

}  // namespace bq_llm
