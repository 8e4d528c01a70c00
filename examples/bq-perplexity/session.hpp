// What all commands share: options for the evaluator, and progress by windows.
#pragma once
#include <blockquant/parallel.hpp>
#include <chrono>
#include <nlohmann/json.hpp>
#include <string>

#include "evaluation/perplexity.hpp"
#include "request.hpp"

namespace bq_perplexity {

bq_llm::window_evaluator_options evaluator_options(const request& r, bq::executor& threads);

// Seconds since it was made.
class stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// Progress by windows of a text.
class window_progress {
 public:
  window_progress(const bq_llm::window_set& windows, const request& r)
      : length_(static_cast<std::uint64_t>(windows.length)),
        bar_(windows.tokens.size(), static_cast<std::size_t>(windows.count), r.style, bq_program::human_tokens) {}
  void finish_window(const std::string& result) {
    bar_.advance(length_);
    bar_.finish_item(result);
  }

 private:
  const std::uint64_t length_;
  bq_program::progress bar_;
};

// {"value", "error"}
nlohmann::ordered_json to_json(const bq_llm::estimate& e);

}  // namespace bq_perplexity
