// Continues a text token by token, and says how it went.
#pragma once
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "sampling/sampler.hpp"
#include "session.hpp"

namespace bq_run {

struct generation_options {
  bq_llm::sampling_options sampling;
  std::int64_t tokens = -1;  // at most; negative: as many as the context holds
  std::vector<std::string> stop;
  bool ignore_end = false;  // the model's end tokens never come
};

enum class stop_reason { end, stop_string, limit, context, interrupted };
// "end": the model ended the text; "stop", "limit", "context", "interrupted".
std::string_view name(stop_reason reason) noexcept;

struct generation {
  std::vector<int> prompt_ids, ids;  // without the end token
  std::string text;                  // up to the stop string
  stop_reason reason = stop_reason::interrupted;
  std::size_t prompt_tokens = 0;  // evaluated: not those that the cache held
  double prompt_ms = 0, ms = 0;
};

using show_text = std::function<void(std::string_view)>;

// `show` is called with pieces of the text as they come, each of whole UTF-8 characters as far as the model makes such.
// Throws as session::evaluate and bq_llm::sampler::next.
generation generate(session& s, std::vector<int> prompt_ids, bq_llm::sampler& sampler,
                    const generation_options& options, const interrupt& stop, const show_text& show);

}  // namespace bq_run
