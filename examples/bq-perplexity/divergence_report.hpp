// Divergence statistics for people, in llama-perplexity's words, and as JSON.
#pragma once
#include <nlohmann/json.hpp>
#include <string>

#include "divergence.hpp"

namespace bq_perplexity {

std::string to_text(const divergence_statistics& s);

// "scored_tokens", "perplexity", "base_perplexity", "correlation", "log_ratio", "ratio", "difference", "kld",
// "delta_p", "delta_p_rms", "same_top"; estimates are {"value", "error"}, and "kld" and "delta_p" have "quantiles"
// besides: pairs of a share and a value.
nlohmann::ordered_json to_json(const divergence_statistics& s);

}  // namespace bq_perplexity
