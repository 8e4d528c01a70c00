// bq-perplexity --kl-divergence -m MODEL --kl-divergence-base FILE: a model against what a base model thought of the
// same tokens.
#include <fmt/format.h>
#include <blockquant/error.hpp>

#include "base_file.hpp"
#include "divergence_report.hpp"
#include "evaluation/language_model.hpp"
#include "program/text_file.hpp"
#include "session.hpp"

namespace bq_perplexity {

namespace {

bq::error mismatch(const request& r, std::string what, std::string expected, std::string found) {
  return bq::error({.code = bq::errc::bad_shape,
                    .message = "the base file does not fit: it was made with another " + what,
                    .file = r.base,
                    .expected = std::move(expected),
                    .found = std::move(found),
                    .advice = "make it anew, with the same tokeniser, text and context"});
}

void check_match(const base_header& base, const bq_llm::language_model& model, const request& r) {
  if (base.vocabulary != model.model.vocabulary) {
    throw mismatch(r, "vocabulary", std::to_string(model.model.vocabulary) + " tokens",
                   std::to_string(base.vocabulary));
  }
  if (r.context && *r.context != base.windows.length) {
    throw mismatch(r, "context", std::to_string(*r.context) + " tokens", std::to_string(base.windows.length));
  }
  if (base.form != base_form::llama && base.tokenizer != model.tokenizer_fingerprint()) {
    throw mismatch(r, "tokeniser", fmt::format("{:016x}", model.tokenizer_fingerprint()),
                   fmt::format("{:016x}", base.tokenizer));
  }
  if (r.text.empty()) return;
  const auto windows = bq_llm::cut_windows(model.tokenizer, bq_program::read_text(r.text),
                                           {.length = base.windows.length, .at_most = base.windows.count});
  if (windows.tokens != base.windows.tokens) throw mismatch(r, "text", r.text, "other tokens");
}

}  // namespace

int divergence_command(const request& r) {
  base_reader base(r.base);
  const bq_llm::language_model model(r.model);
  check_match(base.header(), model, r);

  bq_llm::window_set windows = base.header().windows;
  windows.bos = model.tokenizer.adds_bos() ? model.tokenizer.bos() : std::nullopt;
  if (r.windows >= 0) windows.keep(r.windows);
  bq::thread_pool threads(r.threads);
  bq_llm::window_evaluator evaluator(model.model, windows, evaluator_options(r, threads));
  window_progress bar(windows, r);
  const stopwatch watch;

  std::vector<token_divergence> tokens;
  std::vector<float> log_p;
  double kld = 0;
  bq_llm::for_each_logits(
      evaluator, windows,
      [&](std::int64_t w, std::int64_t first, std::span<const float> logits) {
        log_p.resize(logits.size());
        base.next(log_p, threads);
        const std::size_t before = tokens.size(), n = logits.size() / evaluator.vocabulary();
        tokens.resize(before + n);
        const auto added = std::span(tokens).subspan(before);
        compare_rows(log_p, logits, windows.targets(w, first, n), added, before, threads);
        for (const token_divergence& t : added) kld += t.kld;
      },
      [&](std::int64_t) { bar.finish_window(fmt::format("KLD {:.6f}", kld / static_cast<double>(tokens.size()))); });

  const divergence_statistics s(tokens);
  if (r.json) {
    nlohmann::ordered_json out{{"model", r.model},
                               {"base", r.base},
                               {"same_model", base.header().model == model.fingerprint()},
                               {"context", windows.length},
                               {"windows", windows.count}};
    out.update(to_json(s));
    out["seconds"] = watch.seconds();
    fmt::print("{}\n", out.dump(2));
  } else {
    fmt::print("{}", to_text(s));
  }
  return 0;
}

}  // namespace bq_perplexity
