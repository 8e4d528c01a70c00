#include "session.hpp"

#include <algorithm>
#include <blockquant/error.hpp>

namespace bq_run {

namespace {

constexpr std::size_t batch = 512;  // tokens evaluated at once; Ctrl-C is looked at between batches

std::int64_t context_of(const session_options& o, const bq_llm::decoder& model) {
  if (o.context > 0) return o.context;
  return o.context == 0 ? model.context : std::min(model.context, usual_context);
}

}  // namespace

session::session(const session_options& o)
    : threads_(o.threads),
      language_(o.model,
                [&](bq_llm::decoder& model, const bq_llm::model_file& file) {
                  if (!o.no_repack) weights_.emplace(model, file, threads_);
                }),
      evaluator_(language_.model, {.tier = o.tier, .threads = &threads_}),
      cache_(language_.model, {.keys = o.keys, .values = o.values, .context = context_of(o, language_.model)}),
      logits_(static_cast<std::size_t>(language_.model.vocabulary)),
      load_ms_(loading_.ms()) {}

bool session::evaluate(std::span<const int> ids, const interrupt& stop) {
  if (ids.empty()) {
    throw bq::error({.code = bq::errc::invalid_argument,
                     .message = "an empty prompt, and the model has no token that begins a text",
                     .advice = "give it a few words to start from"});
  }
  if (static_cast<std::int64_t>(ids.size()) > context()) {
    throw bq::error({.code = bq::errc::out_of_range,
                     .message = "the prompt is longer than the context",
                     .expected = "at most " + std::to_string(context()) + " tokens",
                     .found = std::to_string(ids.size()),
                     .advice = "a larger -c, or a shorter prompt"});
  }
  // The last token is always evaluated: the logits are those behind it.
  const auto known = std::mismatch(ids_.begin(), ids_.end(), ids.begin(), ids.end() - 1).second - ids.begin();
  ids_.resize(static_cast<std::size_t>(known));
  cache_.truncate(0, known);
  evaluated_ = 0;
  while (ids_.size() < ids.size()) {
    if (stop.requested()) return false;
    const std::size_t n = std::min(batch, ids.size() - ids_.size());
    const bool last = ids_.size() + n == ids.size();
    const bq_llm::batch_part part{0, ids.subspan(ids_.size(), n), last ? 1u : 0u};
    const auto hidden = evaluator_.run({&part, 1}, cache_);
    ids_.insert(ids_.end(), part.tokens.begin(), part.tokens.end());
    evaluated_ += part.tokens.size();
    if (last) evaluator_.logits(hidden, logits_);
  }
  return true;
}

void session::forget() {
  ids_.clear();
  cache_.truncate(0, 0);
}

}  // namespace bq_run
