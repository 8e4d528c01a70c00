// What a run tells besides its text: lines on standard error, and the object of --json.
#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>

#include "generation.hpp"
#include "session.hpp"

namespace bq_run {

// Bytes of memory that the process held at most, mapped files included.
std::uint64_t peak_rss();

// Model, sizes and load time; a warning where the context is longer than the model was trained for.
void print_loaded(const session& s);
// Speeds, why it ended, memory.
void print_summary(const generation& g, std::uint64_t seed);

// {"prompt_ids", "ids", "text", "stop", "seed", "timings": {"load_ms", "prompt_tokens", "prompt_ms", "tokens", "ms"},
// "peak_rss"} on a line of its own.
void print_json(const session& s, const generation& g, std::uint64_t seed);

}  // namespace bq_run
