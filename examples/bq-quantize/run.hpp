// Carrying out a plan: tensors stream from the input through the quantiser to the output, a piece at a time and all
// threads at once, in bounded memory. Pieces never depend on the number of threads or the memory limit in a way that
// changes bytes.
#pragma once
#include <blockquant/gguf.hpp>
#include <blockquant/parallel.hpp>
#include <cstdint>
#include <optional>
#include <vector>

#include "imatrix/imatrix.hpp"
#include "plan.hpp"
#include "program/progress.hpp"

namespace bq_quantize {

using bq_llm::imatrix;

struct run_options {
  std::uint64_t max_memory = 0;  // bytes for buffers, all threads together; 0: 14 MiB per thread
  bool measure_errors = false;   // decode what was written and compare (--report)
  bq_program::progress_style style = bq_program::progress_style::automatic;
};

// What quantisation did to one tensor, against the input decoded to f32.
struct tensor_error {
  double error2 = 0, weight2 = 0;  // sums of squares: of the differences, of the weights
  double max_abs = 0;              // largest difference
  std::int64_t worst_row = -1;     // the row with the largest relative RMS error, -1 when none has an error
  double worst_row_rms = 0;
  double rms() const;  // relative: sqrt(error2 / weight2); 0 for an all-zero tensor
};

struct run_result {
  std::vector<std::string> paths;
  std::uint64_t file_bytes = 0;
  double seconds = 0;
  std::vector<std::uint64_t> digests;               // per tensor of the plan
  std::vector<std::optional<tensor_error>> errors;  // per tensor of the plan; empty for tensors copied as they are
};

// Writes `p` from `source` to the file or shard prefix `out`. `meta` is the output's metadata; the values of its
// key_digests are filled in at the end. Throws bq::error; then nothing is left at the output.
run_result run(const bq::gguf::model& source, const plan& p, const imatrix* importance, bq::gguf::metadata meta,
               const std::string& out, const bq::gguf::write_options& write_options, bq::executor& threads,
               const run_options& options);

}  // namespace bq_quantize
