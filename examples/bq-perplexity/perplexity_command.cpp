// bq-perplexity -m MODEL -f TEXT: the perplexity of a text; with --kl-divergence-base, its logits go to a file too.
#include <fmt/format.h>

#include "base_file.hpp"
#include "evaluation/language_model.hpp"
#include "program/outputs.hpp"
#include "program/text_file.hpp"
#include "session.hpp"

namespace bq_perplexity {

int perplexity_command(const request& r) {
  const std::string inputs[] = {r.model, r.text};
  bq_program::require_distinct(r.base, inputs);
  const bq_llm::language_model model(r.model);
  const auto windows = bq_llm::cut_windows(model.tokenizer, bq_program::read_text(r.text),
                                           {.length = r.context.value_or(512), .at_most = r.windows});
  bq::thread_pool threads(r.threads);
  bq_llm::window_evaluator evaluator(model.model, windows, evaluator_options(r, threads));
  std::optional<base_writer> base;
  if (!r.base.empty()) {
    base.emplace(r.base, base_header{.form = r.base_form,
                                     .windows = windows,
                                     .vocabulary = model.model.vocabulary,
                                     .model = model.fingerprint(),
                                     .tokenizer = model.tokenizer_fingerprint()});
  }
  window_progress bar(windows, r);
  const stopwatch watch;
  const auto nll = bq_llm::score_text(
      evaluator, windows, threads,
      [&](std::span<const double> so_far) {
        bar.finish_window(fmt::format("PPL {:.4f}", bq_llm::perplexity(so_far).value));
      },
      [&](std::int64_t, std::int64_t, std::span<const float> logits) {
        if (base) base->add(logits, threads);
      });
  if (base) base->commit();
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
