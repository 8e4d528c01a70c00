// The metadata of the output: the input's, with quantisation version and file type set, split keys removed, layers
// renumbered after pruning, the user's --override-kv, and where the importance came from.
#pragma once
#include <blockquant/gguf.hpp>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "imatrix/imatrix.hpp"
#include "mix.hpp"

namespace bq_quantize {

using bq_llm::imatrix;

struct override_kv {
  std::string key;
  bq::gguf::value value;
};

// KEY=TYPE:VALUE with TYPE int (stored as u32), float (f32), bool (true, false) or str. Throws errc::invalid_argument.
override_kv parse_override(std::string_view text);

// "0,3,17", sorted and without repetitions. Throws errc::invalid_argument.
std::vector<std::int64_t> parse_layers(std::string_view text);

// Layer numbers before and after pruning; -1 for layers that are dropped. Empty when nothing is pruned.
using layer_map = std::map<std::int64_t, std::int64_t>;

// Which layers stay when `pruned` go: `names` are the input's tensors. Throws errc::out_of_range for a layer that no
// tensor has, errc::invalid_argument when none is left.
layer_map renumber(std::span<const bq::gguf::tensor> tensors, std::span<const std::int64_t> pruned);

// The tensor's name with its layer renumbered; empty when the layer is dropped.
std::string renamed(std::string_view name, const layer_map& layers);

// The input's metadata as the user wants it to be read.
bq::gguf::metadata overridden(const bq::gguf::metadata& input, std::span<const override_kv> overrides);

// Metadata of the output. Digests and the recipe are for the caller to add.
bq::gguf::metadata output_metadata(const bq::gguf::metadata& input, const target& t, const layer_map& layers,
                                   std::span<const override_kv> overrides, const imatrix* importance);

}  // namespace bq_quantize
