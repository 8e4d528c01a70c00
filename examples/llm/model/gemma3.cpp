// Gemma 3 (text): norms of query and key heads and after each half of a layer, GELU, scaled embeddings; of six layers
// five see a window only, with rotary positions of another base and without scaling. Files hold 1 + the weights of
// norms. The 27B model's attention scale is that of embedding_length / head_count.
#include <cmath>

#include "decoder.hpp"

namespace bq_llm {

decoder describe_gemma3(const model_file& file) {
  decoder d = common_decoder(file, bq::rope_pairing::halves);
  d.activation = bq::activation::gelu;
  d.embedding_scale = std::sqrt(static_cast<float>(d.embedding));
  if (d.layers.size() == 62) d.attention_scale = 1.0f / std::sqrt(static_cast<float>(d.embedding / d.heads));
  d.logit_cap = static_cast<float>(file.number("final_logit_softcapping", 0.0));
  d.local_rope = {.pairing = d.rope.pairing,
                  .dims = d.rope.dims,
                  .base = file.number("rope.freq_base_swa", file.number("rope.local.freq_base", 10000.0))};
  const bool windows = file.gguf().metadata().find("gemma3.attention.sliding_window") != nullptr;
  const std::int64_t window = windows ? file.count("attention.sliding_window") : 0;
  const auto period = static_cast<std::size_t>(file.count("attention.sliding_window_pattern", 6));
  for (std::size_t i = 0; i < d.layers.size(); ++i) {
    decoder_layer& l = d.layers[i];
    const std::string at = "blk." + std::to_string(i) + ".";
    l.q_norm = file.vector(at + "attn_q_norm.weight", d.head_dim);
    l.k_norm = file.vector(at + "attn_k_norm.weight", d.head_dim);
    l.attention_post_norm = file.vector(at + "post_attention_norm.weight", d.embedding);
    l.feed_forward_post_norm = file.vector(at + "post_ffw_norm.weight", d.embedding);
    l.local_rope = windows && i % period != period - 1;
    l.window = l.local_rope ? window : 0;
  }
  return d;
}

}  // namespace bq_llm
