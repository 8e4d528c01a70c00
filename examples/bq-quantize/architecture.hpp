// What the type rules need to know about a model, read from its metadata (keys <architecture>.block_count,
// .attention.head_count[_kv], .expert_count ...), and which of its tensors are weights that may be quantised at all.
#pragma once
#include <blockquant/gguf.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace bq_quantize {

struct architecture {
  std::string name;              // general.architecture; may be empty
  std::int64_t layers = 0;       // blk.0 ... as llama.cpp counts them: prediction (MTP) layers included
  bool has_layer_count = false;  // block_count was there
  std::int64_t gqa = 0;          // query heads per key-value head in layer 0; 0 when there are none
  std::int64_t experts = 0;      // 0 in dense models
  bool shaped_like_70b = false;  // 8 query heads share small key-value matrices: those deserve more bits
};

// Throws errc::wrong_value_type for keys that are no numbers, errc::bad_value for negative or absurdly large ones.
// Absent keys count as 0.
architecture read_architecture(const bq::gguf::metadata& meta);

// N of a name that starts with "blk.N."; empty for all others.
std::optional<std::int64_t> layer_of(std::string_view tensor_name) noexcept;

// Why the tensor must keep its type, in words ("norm", "1-D", ...); empty when it may be quantised. Depends on name,
// shape and source type alone: one-dimensional tensors, norms, routers, positions and other small sensitive tensors are
// kept, and so are types that cannot be decoded.
std::string_view why_kept(const bq::gguf::tensor_shape& tensor, std::string_view arch) noexcept;

}  // namespace bq_quantize
