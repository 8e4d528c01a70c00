// bq-quantize IN OUT TYPE: from the command line's words to a plan, and from a plan to a file.
#pragma once
#include <blockquant/parallel.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "metadata_edit.hpp"
#include "program/progress.hpp"
#include "rules.hpp"

namespace bq_quantize {

struct quantize_request {
  std::vector<std::string> words;  // IN [OUT] [TYPE] [THREADS]; with `merge`: PART... OUT
  bq_quantize::recipe recipe;      // from the command line and files
  std::string imatrix_path;
  std::vector<std::string> include_weights, exclude_weights;
  std::vector<std::int64_t> prune_layers;
  std::vector<override_kv> overrides;
  bool allow_requantize = false, no_fallback = false, keep_split = false, merge = false, empty_first_shard = false;
  std::uint64_t split_max_bytes = 0;
  std::uint64_t split_max_tensors = 0;
  bool dry_run = false, json = false;
  std::string report_path;
  int threads = 0;
  std::uint64_t max_memory = 0;
  bq_program::progress_style style = bq_program::progress_style::automatic;
};

// Throws bq::error. Returns the process's exit code.
int quantize_command(quantize_request request);

}  // namespace bq_quantize
