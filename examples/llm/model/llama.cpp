// Llama 1 to 3, Mistral, SmolLM2: the common decoder, with adjacent pairs of rotary positions.
#include "decoder.hpp"

namespace bq_llm {

decoder describe_llama(const model_file& file) {
  decoder d = common_decoder(file, bq::rope_pairing::adjacent);
  const std::int64_t window =
      file.gguf().metadata().find("llama.attention.sliding_window") ? file.count("attention.sliding_window") : 0;
  for (decoder_layer& l : d.layers) l.window = window;
  return d;
}

}  // namespace bq_llm
