// The plan: what happens to every tensor, decided completely before any weight is read, so that everything that can be
// refused is refused before any work.
//
// Who decides about a weight, first match wins: --token-embedding-type, --output-tensor-type, the user's rules, --pure,
// the target's mix. Float targets (F32, F16, BF16) and COPY have no rules. A type whose blocks do not fit the tensor's
// columns is replaced by one that does (see fitting()), which is what the word fallback means here.
#pragma once
#include <blockquant/error.hpp>
#include <blockquant/gguf.hpp>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "imatrix/imatrix.hpp"
#include "metadata_edit.hpp"
#include "mix.hpp"
#include "rules.hpp"

namespace bq_quantize {

using bq_llm::imatrix;

struct plan_options {
  const bq_quantize::target* target = nullptr;  // required
  bq_quantize::recipe recipe;                   // its `target` is not looked at here
  bool allow_requantize = false;                // weights that are quantised already may be quantised again
  bool no_fallback = false;                     // a fallback is an error
  bool keep_split = false;                 // count tensors in file order, as llama-quantize does when it keeps shards
  std::vector<std::int64_t> prune_layers;  // sorted
  std::vector<override_kv> overrides;
};

struct planned_tensor {
  std::size_t source = 0;      // index into the input's tensors
  bq::gguf::tensor_shape out;  // name, type, shape and bytes in the output
  std::uint32_t from = 0;      // type id in the input
  std::uint64_t bytes_in = 0;
  std::string reason = {};  // "kept: norm", "mix", "rule FILE:3", "fallback from q4_K: 576 % 256 != 0" ...
  std::optional<bq::type> fell_back_from = {};
  bool needs_importance = false;  // useless without
  bool has_importance = false;    // imatrix::load(importance_name) gives its importance, and the type makes use of it
  std::string importance_name = {};  // the input's name for the tensor

  bool converts() const noexcept { return from != out.type_id; }  // false: the bytes are copied
};

struct plan {
  std::vector<planned_tensor> tensors;        // in the input's order; the output's order too
  bq::gguf::metadata metadata;                // of the output, without recipe and digests
  std::uint64_t parameters = 0;               // of all planned tensors
  std::uint64_t bytes_in = 0, bytes_out = 0;  // of tensor data, without padding
  std::size_t fallback_tensors = 0;
  std::uint64_t fallback_parameters = 0;
  std::vector<std::string> uncovered;    // weights to be quantised that the importance matrix does not cover
  std::vector<std::string> warnings;     // worth a line before starting: rules that match nothing, ignored options ...
  std::vector<bq::error_info> refusals;  // why this plan must not be carried out; a dry run only shows them

  double bits_per_weight() const noexcept { return parameters ? 8.0 * double(bytes_out) / double(parameters) : 0; }
  double fallback_share() const noexcept { return parameters ? double(fallback_parameters) / double(parameters) : 0; }
};

// Throws what can never be a plan: errc::bad_shape (no_fallback and a fallback; a shape that no type fits),
// errc::bad_importance (an entry of another shape), and the codes of renumber() and mixer::choose(). `importance` may
// be null.
plan make_plan(const bq::gguf::metadata& meta, std::span<const bq::gguf::tensor> tensors, const plan_options& options,
               const imatrix* importance);

// Throws the first refusal, if there is one: errc::invalid_argument (requantising without allow_requantize),
// errc::bad_importance (a weight that needs importance has none).
void require_runnable(const plan& p);

// Bytes of a single GGUF file with this metadata and these tensors: header, data and padding.
std::uint64_t gguf_file_bytes(const bq::gguf::metadata& meta, std::span<const planned_tensor> tensors);

// A table for people: one line per tensor, then totals and what deserves attention.
std::string to_table(const plan& p);

// {"tensors":[{"name","from","to","bytes_in","bytes_out","shape","reason","fallback","importance"}],"file_size","tensor_bytes_in","tensor_bytes_out",
//  "parameters","bits_per_weight","types":{...},"fallback":{...},"uncovered","warnings","refusals"}
nlohmann::json to_json(const plan& p);

}  // namespace bq_quantize
