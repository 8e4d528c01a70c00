#include "collect.hpp"

#include <fmt/format.h>

namespace bq_imatrix {

bq_llm::estimate collect(const bq_llm::language_model& model, std::string_view text, const collect_options& options,
                         bq::executor& threads, bq_llm::measured_imatrix& to) {
  const auto windows = bq_llm::cut_windows(model.tokenizer, text, options.windows);
  bq_llm::window_evaluator_options o = options.evaluation;
  o.all_tokens = true;
  o.evaluation.threads = &threads;
  o.evaluation.observe = [&](std::string_view weight, std::span<const float> x, std::int64_t tokens) {
    if (weight.starts_with("blk.")) to.add(weight, x, tokens);
  };
  bq_llm::window_evaluator evaluator(model.model, windows, o);
  bq_program::progress bar(windows.tokens.size(), static_cast<std::size_t>(windows.count), options.style,
                           bq_program::human_tokens);
  std::vector<double> nll;
  for (std::int64_t first = 0; first < windows.count; first += evaluator.at_once()) {
    const std::int64_t count = std::min(evaluator.at_once(), windows.count - first);
    evaluator.run(first, count);
    for (std::int64_t w = first; w < first + count; ++w) {
      for (std::int64_t i = 0; options.perplexity && i < windows.scored(); i += evaluator.logits_at_once()) {
        const std::int64_t n = std::min(evaluator.logits_at_once(), windows.scored() - i);
        const std::size_t before = nll.size();
        nll.resize(before + static_cast<std::size_t>(n));
        bq_llm::score_tokens(windows, w, i, evaluator.logits(w, i, n), std::span(nll).subspan(before), threads);
      }
      bar.advance(static_cast<std::uint64_t>(windows.length));
      bar.finish_item(nll.empty() ? std::string() : fmt::format("PPL {:.4f}", bq_llm::perplexity(nll).value));
    }
    if (options.output) to.add(model.model.output.name, evaluator.hidden(), count * windows.scored());
  }
  return nll.empty() ? bq_llm::estimate{} : bq_llm::perplexity(nll);
}

}  // namespace bq_imatrix
