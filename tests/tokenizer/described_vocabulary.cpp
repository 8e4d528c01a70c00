#include "described_vocabulary.hpp"

#include "tokenizer/byte_alphabet.hpp"
#include "tokenizer/vocabulary.hpp"

namespace tokenizer_test {
namespace {

using bq::gguf::value;

void set_tokens(bq::gguf::metadata& metadata, const std::vector<described_token>& tokens) {
  std::vector<std::string> texts;
  std::vector<std::int32_t> types;
  std::vector<float> scores;
  for (const described_token& token : tokens) {
    texts.push_back(token.text);
    types.push_back(token.type);
    scores.push_back(token.score);
  }
  metadata.set("tokenizer.ggml.tokens", value::of_strings(texts));
  metadata.set("tokenizer.ggml.token_type", value::of_i32s(types));
  metadata.set("tokenizer.ggml.scores", value::of_f32s(scores));
}

}  // namespace

bq::gguf::metadata bpe_vocabulary(const std::vector<std::string>& merges, const std::vector<described_token>& added,
                                  std::string_view pre) {
  std::vector<described_token> tokens;
  for (const std::string& character : bq_llm::byte_alphabet()) tokens.push_back({character});
  for (std::string merge : merges) {
    merge.erase(merge.find(' '), 1);
    tokens.push_back({merge});
  }
  tokens.insert(tokens.end(), added.begin(), added.end());
  bq::gguf::metadata metadata;
  metadata.set("tokenizer.ggml.model", value::of_string("gpt2"));
  metadata.set("tokenizer.ggml.pre", value::of_string(pre));
  metadata.set("tokenizer.ggml.merges", value::of_strings(merges));
  set_tokens(metadata, tokens);
  return metadata;
}

bq::gguf::metadata sentencepiece_vocabulary(const std::vector<described_token>& added) {
  std::vector<described_token> tokens = {{"<unk>", unknown}, {"<s>", control}, {"</s>", control}};
  for (int i = 0; i < 256; ++i) tokens.push_back({bq_llm::byte_name(static_cast<unsigned char>(i)), byte});
  tokens.insert(tokens.end(), added.begin(), added.end());
  bq::gguf::metadata metadata;
  metadata.set("tokenizer.ggml.model", value::of_string("llama"));
  set_tokens(metadata, tokens);
  return metadata;
}

}  // namespace tokenizer_test
