// A decoder-only transformer as data: what the forward pass (evaluator.hpp) needs to know of a model. An architecture
// is one function that fills it from a file (llama.cpp, qwen2.cpp, ...), and one line of the list in decoder.cpp.
//
//   h = embedding_scale * embedding[token]
//   for each layer:  a = attention(rope(q_norm(Q x)), rope(k_norm(K x)), V x), x = norm(h);  h += post_norm(O a)
//                    f = Down(activation(Gate x) * (Up x)),                      x = norm(h);  h += post_norm(f)
//   logits = soft_cap(Output norm(h))
//
// Norms of q, k and those named post_norm are left out where their weights are empty.
#pragma once
#include <blockquant/ops.hpp>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "model_file.hpp"

namespace bq_llm {

struct decoder_layer {
  std::vector<float> attention_norm, q_norm, k_norm, attention_post_norm, feed_forward_norm, feed_forward_post_norm;
  linear q, k, v, attention_output, gate, up, down;
  std::int64_t window = 0;  // positions that a token sees; 0: all
  bool local_rope = false;
};

struct decoder {
  std::int64_t context = 0;  // tokens that the model was trained for
  std::int64_t vocabulary = 0, embedding = 0, feed_forward = 0;
  std::int64_t heads = 0, kv_heads = 0, head_dim = 0;
  float epsilon = 0;
  float attention_scale = 0, embedding_scale = 1;
  float logit_cap = 0;  // 0: none
  bq::activation activation = bq::activation::silu;
  std::vector<float> rope_factors;  // empty, or [dims / 2]
  bq::rope_options rope, local_rope;
  linear token_embedding, output;
  std::vector<float> output_norm;
  std::vector<decoder_layer> layers;

  bq::rope_options rope_of(bool local) const;  // with its factors
};

// The description of the file's model, by its architecture. The file must outlive it. Throws errc::unsupported_type
// (an architecture that nobody describes; `expected` lists them), errc::bad_shape, errc::out_of_range (hyperparameters
// that contradict each other, a tokenizer of another number of tokens), and as model_file.
decoder describe(const model_file& file);

// What all architectures share: sizes, rope keys, and the tensors of the diagram above that are always there.
decoder common_decoder(const model_file& file, bq::rope_pairing pairing);

decoder describe_llama(const model_file& file);
decoder describe_qwen2(const model_file& file);
decoder describe_qwen3(const model_file& file);
decoder describe_gemma3(const model_file& file);

}  // namespace bq_llm
