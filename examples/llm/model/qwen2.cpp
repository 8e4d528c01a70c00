// Qwen 2 and 2.5: the common decoder with biases of Q, K and V, which are read wherever a file has them.
#include "decoder.hpp"

namespace bq_llm {

decoder describe_qwen2(const model_file& file) { return common_decoder(file, bq::rope_pairing::halves); }

}  // namespace bq_llm
