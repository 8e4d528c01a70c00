// What a finished run tells: the summary for people, and the JSON of --json and --report.
#pragma once
#include <nlohmann/json.hpp>
#include <string>

#include "plan.hpp"
#include "run.hpp"

namespace bq_quantize {

// Two or three lines: sizes, bits per weight, fallbacks, what the importance matrix does not cover.
std::string summary(const plan& p);

// The plan's JSON (plan.hpp) with what the run adds: "output", "file_size", "seconds", and per tensor "xxh64" and,
// where errors were measured, "rms" (relative RMS error), "max_error", "worst_row", "worst_row_rms"; over all such
// tensors "rms" and "worst_tensor".
nlohmann::ordered_json to_json(const plan& p, const run_result& result);

}  // namespace bq_quantize
