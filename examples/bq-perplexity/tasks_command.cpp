// bq-perplexity --hellaswag, --winogrande, --multiple-choice: which of several choices a model finds the most probable,
// and how often it is the right one.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <blockquant/error.hpp>

#include "accuracy.hpp"
#include "evaluation/language_model.hpp"
#include "session.hpp"
#include "task_kind.hpp"

namespace bq_perplexity {

namespace {

void check(const bq_llm::choices& choices, const choice_task& task, std::int64_t context, const request& r) {
  for (const bq_llm::continuation& c : choices) {
    if (c.first >= c.end) {
      throw bq::error({.code = bq::errc::bad_value,
                       .message = "a choice has no tokens that something predicts",
                       .file = r.text,
                       .subject = task.place});
    }
    if (c.end > context) {
      throw bq::error({.code = bq::errc::out_of_range,
                       .message = "a task is longer than the context",
                       .file = r.text,
                       .subject = task.place,
                       .expected = std::to_string(context) + " tokens or less",
                       .found = std::to_string(c.end),
                       .advice = "say how long it may be: -c"});
    }
  }
}

nlohmann::ordered_json report(const accuracy& a, std::span<const answer> answers) {
  nlohmann::ordered_json out{{"tasks", a.tasks},
                             {"accuracy", to_json(a.share)},
                             {"interval_95", std::array{a.within.low, a.within.high}},
                             {"random_chance", to_json(a.chance)}};
  for (const answer& one : answers) {
    out["answers"].push_back(
        {{"task", one.task}, {"scores", one.scores}, {"chosen", one.chosen}, {"right", one.right}});
  }
  return out;
}

}  // namespace

int tasks_command(const request& r) {
  const task_kind& kind = *r.tasks;
  const std::vector<choice_task> file = kind.read(r.text);
  const std::int64_t wanted = r.most_tasks.value_or(kind.most);
  const auto selected = kind.select(file.size(), wanted > 0 ? static_cast<std::size_t>(wanted) : file.size());

  const bq_llm::language_model model(r.model);
  const std::int64_t context = r.context.value_or(model.model.context);
  std::vector<bq_llm::choices> tasks;
  std::uint64_t tokens = 0;
  for (const std::size_t i : selected) {
    tasks.push_back(kind.prepare(model.tokenizer, file[i]));
    check(tasks.back(), file[i], context, r);
    for (const auto& c : tasks.back()) tokens += c.tokens.size();
  }

  bq::thread_pool threads(r.threads);
  bq_program::progress bar(tokens, tasks.size(), r.style, bq_program::human_tokens);
  const stopwatch watch;
  std::vector<answer> answers;
  double right = 0;
  bq_llm::score_continuations(
      model.model, tasks, {.tier = r.tier, .keys = r.keys, .values = r.values, .batch = r.batch}, threads,
      [&](std::size_t t, std::span<const double> scores) {
        answer a{.task = selected[t], .scores = {scores.begin(), scores.end()}};
        a.chosen = static_cast<std::size_t>(std::ranges::max_element(scores) - scores.begin());
        a.right = file[a.task].right[a.chosen];
        answers.push_back(a);
        right += a.right ? 1 : 0;
        for (const auto& c : tasks[t]) bar.advance(c.tokens.size());
        bar.finish_item(fmt::format("{:.2f} % right", 100 * right / static_cast<double>(answers.size())));
      });

  const accuracy result(answers);
  if (r.json) {
    nlohmann::ordered_json out{{"model", r.model}, {"file", r.text}, {"kind", kind.name}};
    out.update(report(result, answers));
    out["seconds"] = watch.seconds();
    fmt::print("{}\n", out.dump(2));
  } else {
    fmt::print("Final {} score ({} tasks): {:.4f} +/- {:.4f}\n95 % interval: [{:.4f}, {:.4f}]\n", kind.title,
               result.tasks, 100 * result.share.value, 100 * result.share.error, 100 * result.within.low,
               100 * result.within.high);
    fmt::print("Random chance: {:.4f} +/- {:.4f}\n", 100 * result.chance.value, 100 * result.chance.error);
  }
  return 0;
}

}  // namespace bq_perplexity
