// bq-perplexity --compare A.gguf B.gguf ... -f TEXT: several models against one base model, in one go. All of them see
// the same windows at the same time, so that no base file is needed and the base's logits are exact.
#include <fmt/format.h>
#include <blockquant/error.hpp>
#include <blockquant/output_file.hpp>

#include <memory>

#include "comparison.hpp"
#include "evaluation/language_model.hpp"
#include "evaluation/log_softmax.hpp"
#include "program/outputs.hpp"
#include "program/text_file.hpp"
#include "session.hpp"

namespace bq_perplexity {

namespace {

using bq_llm::language_model;

struct contestant {
  std::unique_ptr<language_model> model;
  std::unique_ptr<bq_llm::window_evaluator> evaluator;
  std::vector<token_divergence> tokens;
};

void require_same_tokeniser(const language_model& base, const language_model& other, const std::string& path) {
  if (base.model.vocabulary == other.model.vocabulary &&
      base.tokenizer_fingerprint() == other.tokenizer_fingerprint()) {
    return;
  }
  throw bq::error({.code = bq::errc::bad_shape,
                   .message = "models can be compared only when they share vocabulary and tokeniser",
                   .file = path,
                   .expected = std::to_string(base.model.vocabulary) + " tokens, those of the base",
                   .found = std::to_string(other.model.vocabulary) + " tokens"});
}

// Rows of logits of all models meet here, piece by piece.
void compare_window(std::vector<contestant>& all, const bq_llm::window_set& windows, std::int64_t w,
                    std::vector<float>& log_p, bq::executor& threads) {
  bq_llm::window_evaluator& base = *all.front().evaluator;
  const std::size_t vocabulary = base.vocabulary();
  for (std::int64_t i = 0; i < windows.scored(); i += base.logits_at_once()) {
    const std::int64_t n = std::min(base.logits_at_once(), windows.scored() - i);
    const auto rows = static_cast<std::size_t>(n);
    const std::span<const float> logits = base.logits(w, i, n);
    log_p.resize(logits.size());
    threads.run(rows, [&](std::size_t row) {
      const auto of = logits.subspan(row * vocabulary, vocabulary);
      bq_llm::log_probabilities(of, bq_llm::summarise(of), std::span(log_p).subspan(row * vocabulary, vocabulary));
    });
    for (contestant& c : all) {
      const std::size_t before = c.tokens.size();
      c.tokens.resize(before + rows);
      const auto of = &c == &all.front() ? logits : c.evaluator->logits(w, i, n);
      compare_rows(log_p, of, windows.targets(w, i, rows), std::span(c.tokens).subspan(before), before, threads);
    }
  }
}

}  // namespace

int compare_command(const request& r) {
  std::vector<std::string> paths = r.compare;
  if (!r.compare_base.empty()) paths.insert(paths.begin(), r.compare_base);
  std::vector<std::string> inputs = paths;
  inputs.push_back(r.text);
  bq_program::require_distinct(r.plot, inputs);
  if (!r.plot.empty()) bq_program::require_writable(r.plot);
  std::vector<contestant> all;
  for (const std::string& path : paths) {
    all.push_back({std::make_unique<language_model>(path), nullptr, {}});
    require_same_tokeniser(*all.front().model, *all.back().model, path);
  }
  const language_model& base = *all.front().model;
  const auto windows = bq_llm::cut_windows(base.tokenizer, bq_program::read_text(r.text),
                                           {.length = r.context.value_or(512), .at_most = r.windows});
  bq::thread_pool threads(r.threads);
  for (contestant& c : all) {
    c.evaluator = std::make_unique<bq_llm::window_evaluator>(c.model->model, windows, evaluator_options(r, threads));
  }

  window_progress bar(windows, r);
  std::vector<float> log_p;
  const std::int64_t at_once = all.front().evaluator->at_once();
  for (std::int64_t first = 0; first < windows.count; first += at_once) {
    const std::int64_t count = std::min(at_once, windows.count - first);
    for (contestant& c : all) c.evaluator->run(first, count);
    for (std::int64_t w = first; w < first + count; ++w) {
      compare_window(all, windows, w, log_p, threads);
      bar.finish_window(fmt::format("{} models", all.size()));
    }
  }

  comparison result{.text = r.text, .context = windows.length, .windows = windows.count, .models = {}};
  const std::vector<std::string> names = short_names(paths);
  for (std::size_t i = 0; i < all.size(); ++i) {
    const language_model& m = *all[i].model;
    result.models.push_back({.name = names[i],
                             .path = paths[i],
                             .bytes = m.file_bytes(),
                             .parameters = m.parameters(),
                             .statistics = divergence_statistics(all[i].tokens)});
  }
  if (!r.plot.empty()) {
    const std::string svg = to_svg(result);
    bq::write_file(r.plot, std::as_bytes(std::span(svg)));
  }
  if (r.json) {
    fmt::print("{}\n", to_json(result).dump(2));
  } else {
    fmt::print("{}", to_table(result));
    if (!r.plot.empty()) fmt::print("\nplot: {}\n", r.plot);
  }
  return 0;
}

}  // namespace bq_perplexity
