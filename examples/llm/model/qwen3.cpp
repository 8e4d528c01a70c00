// Qwen 3: the common decoder with norms of each query and key head.
#include "decoder.hpp"

namespace bq_llm {

decoder describe_qwen3(const model_file& file) {
  decoder d = common_decoder(file, bq::rope_pairing::halves);
  for (std::size_t i = 0; i < d.layers.size(); ++i) {
    const std::string at = "blk." + std::to_string(i) + ".";
    d.layers[i].q_norm = file.vector(at + "attn_q_norm.weight", d.head_dim);
    d.layers[i].k_norm = file.vector(at + "attn_k_norm.weight", d.head_dim);
  }
  return d;
}

}  // namespace bq_llm
