#include "sampling/sampler.hpp"

#include <algorithm>
#include <blockquant/error.hpp>
#include <cmath>
#include <limits>
#include <string>

#include "sampling/portable_exp.hpp"

namespace bq_llm {

namespace {

constexpr float never = -std::numeric_limits<float>::infinity();

void require(bool holds, const char* option, double found, const char* expected) {
  if (holds) return;
  throw bq::error({.code = bq::errc::invalid_argument,
                   .message = "impossible value of a sampling option",
                   .subject = option,
                   .expected = expected,
                   .found = std::to_string(found)});
}

bool likelier(const candidate& a, const candidate& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}
bool less_likely(const candidate& a, const candidate& b) { return likelier(b, a); }

}  // namespace

sampler::sampler(const sampling_options& options) : options_(options), random_(options.seed) {
  const auto& o = options_;
  require(o.temperature >= 0 && std::isfinite(o.temperature), "temperature", o.temperature, "0 or more");
  require(o.top_k >= 0, "top_k", static_cast<double>(o.top_k), "0 or more");
  require(o.top_p >= 0 && o.top_p <= 1, "top_p", o.top_p, "0 to 1");
  require(o.min_p >= 0 && o.min_p <= 1, "min_p", o.min_p, "0 to 1");
  require(o.repeat_penalty > 0 && std::isfinite(o.repeat_penalty), "repeat_penalty", o.repeat_penalty, "above 0");
}

// top_k, top_p and min_p. Every one keeps the likeliest, so that the rest need not be sorted.
void sampler::keep_likeliest() {
  const auto k = static_cast<std::size_t>(options_.temperature > 0 ? options_.top_k : 1);
  if (k > 0 && k < kept_.size()) {
    std::partial_sort(kept_.begin(), kept_.begin() + static_cast<std::ptrdiff_t>(k), kept_.end(), likelier);
    kept_.resize(k);
  }
  if (options_.top_p >= 1 && options_.min_p <= 0) return;
  std::make_heap(kept_.begin(), kept_.end(), less_likely);
  const double best = kept_.front().logit;
  double total = 0;
  for (candidate& c : kept_) total += c.probability = portable_exp(c.logit - best);
  const double enough = options_.top_p < 1 ? options_.top_p * total : std::numeric_limits<double>::infinity();
  auto rest = kept_.end();
  for (double sum = 0; rest != kept_.begin();) {
    const candidate& c = kept_.front();
    if (rest != kept_.end() && (sum >= enough || c.probability < options_.min_p)) break;
    sum += c.probability;
    std::pop_heap(kept_.begin(), rest, less_likely);
    --rest;
  }
  kept_.erase(kept_.begin(), rest);
  std::reverse(kept_.begin(), kept_.end());
}

std::span<const candidate> sampler::distribution(std::span<const float> logits, std::span<const int> history,
                                                 std::span<const int> banned) {
  logits_.assign(logits.begin(), logits.end());
  const auto logit = [this](int id) -> float& { return logits_[static_cast<std::size_t>(id)]; };
  if (options_.repeat_window >= 0 && static_cast<std::uint64_t>(options_.repeat_window) < history.size()) {
    history = history.last(static_cast<std::size_t>(options_.repeat_window));
  }
  if (options_.repeat_penalty != 1.0) {
    const auto penalty = static_cast<float>(options_.repeat_penalty);
    // From the given logits, so that a token that came twice is not punished twice.
    for (const int id : history) {
      const float given = logits[static_cast<std::size_t>(id)];
      logit(id) = given > 0 ? given / penalty : given * penalty;
    }
  }
  for (const int id : banned) logit(id) = never;

  kept_.clear();
  for (std::size_t i = 0; i < logits_.size(); ++i) {
    if (logits_[i] == never) continue;
    if (!std::isfinite(logits_[i])) {
      throw bq::error({.code = bq::errc::not_finite,
                       .message = "the model gives a token a score that is not finite",
                       .subject = "token " + std::to_string(i),
                       .found = std::to_string(logits_[i])});
    }
    kept_.push_back({static_cast<int>(i), logits_[i], 0});
  }
  if (kept_.empty()) throw bq::error({.code = bq::errc::not_finite, .message = "the model gives no token a chance"});
  keep_likeliest();

  const double best = std::min_element(kept_.begin(), kept_.end(), likelier)->logit;
  double total = 0;
  for (candidate& c : kept_) {
    total += c.probability = kept_.size() == 1 ? 1.0 : portable_exp((c.logit - best) / options_.temperature);
  }
  for (candidate& c : kept_) c.probability /= total;
  return kept_;
}

int sampler::next(std::span<const float> logits, std::span<const int> history, std::span<const int> banned) {
  const auto all = distribution(logits, history, banned);
  if (all.size() == 1) return all.front().id;
  // 53 random bits in [0, 1); what rounding leaves over goes to the last.
  double left = static_cast<double>(random_() >> 11) * 0x1p-53;
  const auto drawn = std::find_if(all.begin(), all.end() - 1, [&](const candidate& c) {
    left -= c.probability;
    return left < 0;
  });
  return drawn->id;
}

}  // namespace bq_llm
