#include "stop_strings.hpp"

#include <algorithm>
#include <blockquant/error.hpp>
#include <utility>

namespace bq_run {

namespace {

// The longest end of `text` that `stop` begins with, short of all of it.
std::size_t begun(std::string_view text, std::string_view stop) {
  std::size_t n = std::min(text.size(), stop.size() - 1);
  while (!stop.starts_with(text.substr(text.size() - n))) --n;
  return n;
}

}  // namespace

stop_strings::stop_strings(std::vector<std::string> texts) : texts_(std::move(texts)) {
  if (std::none_of(texts_.begin(), texts_.end(), [](const auto& t) { return t.empty(); })) return;
  throw bq::error({.code = bq::errc::invalid_argument, .message = "an empty text to stop at", .subject = "--stop"});
}

std::string stop_strings::push(std::string_view text) {
  if (found_) return {};
  held_ += text;
  std::size_t first = std::string::npos, kept = 0;
  for (const std::string& stop : texts_) {
    first = std::min(first, held_.find(stop));
    kept = std::max(kept, begun(held_, stop));
  }
  found_ = first != std::string::npos;
  std::string shown = held_.substr(0, found_ ? first : held_.size() - kept);
  held_.erase(0, found_ ? held_.size() : shown.size());
  return shown;
}

std::string stop_strings::finish() { return std::exchange(held_, {}); }

}  // namespace bq_run
