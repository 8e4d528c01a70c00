// A model with its tokeniser, from one GGUF file, and what identifies both in files that must match them.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "model/decoder.hpp"
#include "tokenizer/tokenizer.hpp"

namespace bq_llm {

struct language_model {
  // `meanwhile` runs on another thread while the tokeniser is made, which takes tens of milliseconds for large
  // vocabularies. Throws as model_file, describe(), tokenizer::from and `meanwhile`.
  using preparation = std::function<void(decoder& model, const model_file& file)>;
  explicit language_model(const std::string& path, const preparation& meanwhile = {});
  language_model(const language_model&) = delete;
  language_model& operator=(const language_model&) = delete;

  model_file file;
  decoder model;
  bq_llm::tokenizer tokenizer;

  // XXH64 over names, types and shapes of all tensors and the first 64 KiB of each one's data: tells files apart, at
  // any size of model. Throws errc::io, errc::file_changed.
  std::uint64_t fingerprint() const;
  // XXH64 over the metadata that the tokeniser is made from. Equal for all quantisations of a model.
  std::uint64_t tokenizer_fingerprint() const;

  std::uint64_t file_bytes() const;  // of all shards
  std::int64_t parameters() const;   // elements of all tensors
};

}  // namespace bq_llm
