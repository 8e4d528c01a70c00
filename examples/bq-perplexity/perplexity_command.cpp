// bq-perplexity -m MODEL -f TEXT: the perplexity of a text.
#include <fmt/format.h>

#include "evaluation/language_model.hpp"
#include "session.hpp"

namespace bq_perplexity {

int perplexity_command(const request& r) {
  const bq_llm::language_model model(r.model);
  const auto windows = bq_llm::cut_windows(model.tokenizer, read_text(r.text),
                                           {.length = r.context.value_or(512), .at_most = r.windows});
  bq::thread_pool threads(r.threads);
  bq_llm::window_evaluator evaluator(model.model, windows, evaluator_options(r, threads));
  bq_program::progress bar(windows.tokens.size(), static_cast<std::size_t>(windows.count), r.style,
                           bq_program::human_tokens);
  const stopwatch watch;
  const auto nll = bq_llm::score_text(evaluator, windows, threads, [&](std::int64_t, std::span<const double> so_far) {
    bar.advance(static_cast<std::uint64_t>(windows.length));
    bar.finish_item(fmt::format("PPL {:.4f}", bq_llm::perplexity(so_far).value));
  });
  const bq_llm::estimate ppl = bq_llm::perplexity(nll);
  if (r.json) {
    const nlohmann::ordered_json out{{"model", r.model},
                                     {"text", r.text},
                                     {"context", windows.length},
                                     {"windows", windows.count},
                                     {"scored_tokens", nll.size()},
                                     {"perplexity", to_json(ppl)},
                                     {"seconds", watch.seconds()}};
    fmt::print("{}\n", out.dump(2));
  } else {
    fmt::print("Final estimate: PPL over {} chunks for n_ctx={} = {:.4f} +/- {:.5f}\n", windows.count, windows.length,
               ppl.value, ppl.error);
  }
  return 0;
}

}  // namespace bq_perplexity
