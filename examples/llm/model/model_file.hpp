// A model's GGUF file as the architectures read it: hyperparameters under the architecture's prefix, and tensors whose
// shapes must be what the hyperparameters say. Weights stay in the mapped file.
#pragma once
#include <blockquant/gguf.hpp>
#include <blockquant/tensor.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bq_llm {

// y = x w^T + bias
struct linear {
  std::string name;  // of the weight in the file
  bq::matrix weight;
  std::vector<float> bias;  // empty, or [rows]
};

class model_file {
 public:
  // Throws as bq::gguf::model::open, and errc::missing_key for general.architecture.
  explicit model_file(const std::string& path);

  const bq::gguf::model& gguf() const noexcept { return gguf_; }
  const std::string& architecture() const noexcept { return architecture_; }
  bool has(std::string_view tensor) const noexcept { return gguf_.find(tensor) != nullptr; }

  // Values of ARCHITECTURE.key. Throw errc::missing_key where there is no fallback, errc::wrong_value_type,
  // errc::out_of_range (a count below 1 or above 2^31, a number that is not finite), naming the key.
  std::int64_t count(std::string_view key, std::optional<std::int64_t> fallback = {}) const;
  double number(std::string_view key, std::optional<double> fallback = {}) const;
  std::string text(std::string_view key, std::string fallback) const;

  // Tensors. Throw errc::missing_key (no such tensor), errc::bad_shape, errc::unsupported_type, naming the tensor.
  linear weights(const std::string& name, std::int64_t rows, std::int64_t cols) const;  // NAME.weight, NAME.bias if any
  std::vector<float> vector(const std::string& name, std::int64_t size) const;
  std::vector<float> optional_vector(const std::string& name, std::int64_t size) const;  // empty when missing

 private:
  const bq::gguf::value* find(std::string_view key, bool required) const;
  const bq::gguf::tensor& tensor(const std::string& name, std::int64_t rows, std::int64_t cols) const;
  std::string path() const { return gguf_.shards().front().path; }

  bq::gguf::model gguf_;
  std::string architecture_;
};

}  // namespace bq_llm
