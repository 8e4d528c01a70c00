#include "generation.hpp"

#include <array>
#include <utility>

#include "stop_strings.hpp"

namespace bq_run {

std::string_view name(stop_reason reason) noexcept {
  constexpr std::array<std::string_view, 5> names{"end", "stop", "limit", "context", "interrupted"};
  return names[static_cast<std::size_t>(reason)];
}

namespace {

// Tokens until there is a reason to stop; the cache holds `ids` already.
stop_reason continue_text(session& s, std::vector<int>& ids, bq_llm::sampler& sampler, const generation_options& o,
                          const interrupt& stop, const std::function<bool(int)>& add) {
  const std::vector<int> banned = o.ignore_end ? s.tokenizer().end_tokens() : std::vector<int>();
  for (std::int64_t n = 0;; ++n) {
    if (n == o.tokens) return stop_reason::limit;
    if (n > 0) {
      if (static_cast<std::int64_t>(ids.size()) > s.context()) return stop_reason::context;
      if (!s.evaluate(ids, stop)) return stop_reason::interrupted;
    }
    if (stop.requested()) return stop_reason::interrupted;
    const int id = sampler.next(s.logits(), ids, banned);
    if (s.tokenizer().ends_generation(id)) return stop_reason::end;
    ids.push_back(id);
    if (add(id)) return stop_reason::stop_string;
  }
}

}  // namespace

generation generate(session& s, std::vector<int> prompt_ids, bq_llm::sampler& sampler, const generation_options& o,
                    const interrupt& stop, const show_text& show) {
  generation g;
  stop_strings stops(o.stop);
  const auto add = [&](const std::string& text) {
    g.text += text;
    if (!text.empty()) show(text);
  };
  // The text goes on from the prompt: only a stream that has seen the prompt knows which spaces are part of it.
  bq_llm::text_stream stream(s.tokenizer());
  for (const int id : prompt_ids) stream.push(id);

  std::vector<int> ids = prompt_ids;
  g.prompt_ids = std::move(prompt_ids);
  const stopwatch prompt;
  const bool evaluated = s.evaluate(ids, stop);
  g.prompt_tokens = s.evaluated();
  g.prompt_ms = prompt.ms();
  if (!evaluated) return g;

  const stopwatch writing;
  g.reason = continue_text(s, ids, sampler, o, stop, [&](int id) {
    g.ids.push_back(id);
    add(stops.push(stream.push(id)));
    return stops.found();
  });
  g.ms = writing.ms();
  add(stops.push(stream.finish()));
  add(stops.finish());
  return g;
}

}  // namespace bq_run
