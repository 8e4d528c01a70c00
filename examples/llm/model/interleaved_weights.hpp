// A model's weights in memory, interleaved (blockquant/interleave.hpp): each token then takes less time, and loading
// copies the file once.
#pragma once
#include <blockquant/parallel.hpp>
#include <cstddef>
#include <memory>

#include "decoder.hpp"

namespace bq_llm {

class interleaved_weights {
 public:
  // Copies the weights of all products and makes `model`, of this file, refer to the copies, which live as long as this
  // object; nothing of them is mapped any more. Throws as bq::gguf::model::read, std::bad_alloc.
  interleaved_weights(decoder& model, const model_file& file, bq::executor& threads);

 private:
  struct release {
    void operator()(std::byte* p) const noexcept;
  };
  std::unique_ptr<std::byte[], release> memory_;
};

}  // namespace bq_llm
