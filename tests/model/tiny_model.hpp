// Model files of a few kilobytes, written by tests: two layers (gemma3: seven) of width 64, 96 tokens, F32 weights that
// are a fixed function of the tensor's name and the element. `architecture` is one of those that describe() knows, or
// one of them with a scaling of rotary positions: "llama:factors" (rope_freqs), "qwen2:yarn", "gemma3:linear".
#pragma once
#include <blockquant/gguf.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace test {

inline constexpr std::string_view tiny_models[] = {"llama", "llama:factors", "qwen2",        "qwen2:yarn",
                                                   "qwen3", "gemma3",        "gemma3:linear"};
inline constexpr int tiny_vocabulary = 96;

struct tiny_model {
  bq::gguf::metadata metadata;
  std::vector<bq::gguf::tensor_shape> tensors;

  explicit tiny_model(std::string_view architecture);
  bq::gguf::tensor_shape& tensor(std::string_view name);
  void set(std::string_view key, bq::gguf::value v);  // of the architecture's keys, without its name
  void write(const std::string& path) const;

 private:
  void add(std::string name, std::int64_t rows, std::int64_t cols);
  std::string architecture_;
};

}  // namespace test
