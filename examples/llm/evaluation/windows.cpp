#include "windows.hpp"

#include <algorithm>
#include <blockquant/error.hpp>

namespace bq_llm {

namespace {

constexpr std::int64_t logits_bytes = 64 << 20;  // of one piece, about

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

}  // namespace

std::span<const int> window_set::window(std::int64_t w) const {
  return std::span(tokens).subspan(index(w * length), index(length));
}

std::span<const int> window_set::targets(std::int64_t w, std::int64_t i, std::size_t n) const {
  return window(w).subspan(index(first_scored() + i + 1), n);
}

void window_set::keep(std::int64_t at_most) {
  count = std::min(count, at_most);
  tokens.resize(index(count * length));
}

window_set cut_windows(const tokenizer& t, std::string_view text, const window_options& options) {
  if (options.length < 4) {
    throw bq::error({.code = bq::errc::out_of_range,
                     .message = "the context is too short to score its second half",
                     .expected = "4 tokens or more",
                     .found = std::to_string(options.length)});
  }
  window_set w{.length = options.length, .bos = t.adds_bos() ? t.bos() : std::nullopt};
  w.tokens = t.encode(text, true, false);
  const auto there_are = static_cast<std::int64_t>(w.tokens.size()) / w.length - options.skip;
  if (there_are < 1 || static_cast<std::int64_t>(w.tokens.size()) < 2 * w.length) {
    throw bq::error({.code = bq::errc::out_of_range,
                     .message = "the text is too short",
                     .expected = std::to_string(std::max<std::int64_t>(2, options.skip + 1) * w.length) +
                                 " tokens or more, for windows of " + std::to_string(w.length),
                     .found = std::to_string(w.tokens.size()) + " tokens",
                     .advice = "take a longer text, or a smaller context"});
  }
  w.count = there_are;
  w.tokens.erase(w.tokens.begin(), w.tokens.begin() + options.skip * w.length);
  w.keep(options.at_most < 0 ? there_are : options.at_most);
  return w;
}

window_evaluator::window_evaluator(const decoder& model, const window_set& windows,
                                   const window_evaluator_options& options)
    : model_(model),
      windows_(windows),
      options_(options),
      at_once_(std::clamp<std::int64_t>(options.batch / windows.length, 1, windows.count)),
      rows_(std::min(windows.scored(), std::max<std::int64_t>(logits_bytes / 4 / model.vocabulary, 16))),
      evaluator_(model_, options_.evaluation) {
  cache_.emplace(model, kv_cache_options{.keys = options.keys,
                                         .values = options.values,
                                         .context = windows.length,
                                         .sequences = static_cast<int>(at_once_)});
  hidden_.resize(index(at_once_ * windows.scored() * model.embedding));
}

void window_evaluator::run(std::int64_t first, std::int64_t count) {
  first_ = first, count_ = count;
  std::vector<std::vector<int>> tokens;
  for (std::int64_t w = 0; w < count; ++w) {
    const auto text = windows_.window(first + w);
    tokens.emplace_back(text.begin(), text.end());
    if (windows_.bos) tokens.back()[0] = *windows_.bos;
    cache_->truncate(static_cast<int>(w), 0);
  }
  const std::int64_t length = windows_.length - (options_.all_tokens ? 0 : 1);
  const std::int64_t piece = std::min(length, std::max<std::int64_t>(options_.batch, 1));
  const std::int64_t scored_begin = windows_.first_scored(), scored_end = scored_begin + windows_.scored();
  for (std::int64_t at = 0; at < length; at += piece) {
    const std::int64_t n = std::min(piece, length - at);
    const std::int64_t from = std::max(at, scored_begin), to = std::min(at + n, scored_end);
    const std::int64_t outputs = options_.all_tokens ? n : std::max<std::int64_t>(at + n - from, 0);
    std::vector<batch_part> parts;
    for (std::int64_t w = 0; w < count; ++w) {
      const auto piece_of = std::span(tokens[index(w)]).subspan(index(at), index(n));
      parts.push_back({static_cast<int>(w), piece_of, index(outputs)});
    }
    const std::span<const float> out = evaluator_.run(parts, *cache_);
    if (from >= to) continue;
    for (std::int64_t w = 0; w < count; ++w) {
      const std::int64_t row = (w + 1) * outputs - (at + n - from);
      const auto rows = out.subspan(index(row * model_.embedding), index((to - from) * model_.embedding));
      std::ranges::copy(rows, hidden_.begin() + (w * windows_.scored() + from - scored_begin) * model_.embedding);
    }
  }
}

std::span<const float> window_evaluator::logits(std::int64_t window, std::int64_t position, std::int64_t n) {
  const std::int64_t row = (window - first_) * windows_.scored() + position;
  logits_.resize(index(n * model_.vocabulary));
  evaluator_.logits(std::span(hidden_).subspan(index(row * model_.embedding), index(n * model_.embedding)), logits_);
  return logits_;
}

std::span<const float> window_evaluator::hidden() const {
  return std::span(hidden_).first(index(count_ * windows_.scored() * model_.embedding));
}

void for_each_logits(window_evaluator& of, const window_set& windows, const logits_visitor& visit,
                     const std::function<void(std::int64_t)>& done) {
  for (std::int64_t first = 0; first < windows.count; first += of.at_once()) {
    const std::int64_t count = std::min(of.at_once(), windows.count - first);
    of.run(first, count);
    for (std::int64_t w = first; w < first + count; ++w) {
      for (std::int64_t i = 0; i < windows.scored(); i += of.logits_at_once()) {
        visit(w, i, of.logits(w, i, std::min(of.logits_at_once(), windows.scored() - i)));
      }
      done(w);
    }
  }
}

}  // namespace bq_llm
