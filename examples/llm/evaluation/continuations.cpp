#include "continuations.hpp"

#include <algorithm>
#include <blockquant/error.hpp>
#include <cmath>
#include <string>

#include "evaluation/log_softmax.hpp"
#include "model/evaluator.hpp"

namespace bq_llm {

namespace {

constexpr std::int64_t logits_bytes = 64 << 20;    // of one piece, about
constexpr std::int64_t positions_for_a_token = 4;  // of the cache, for one of the batch: shared ones are not evaluated

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

std::int64_t longest(const choices& task) {
  std::int64_t n = 0;
  for (const continuation& c : task) n = std::max(n, c.end);
  return n;
}

// Tokens that one choice is evaluated for, and the others then know: all in common that predict nothing scored.
std::int64_t shared(const choices& task) {
  std::int64_t n = common_prefix(task);
  for (const continuation& c : task) n = std::min(n, c.first - 1);
  return n;
}

class scorer {
 public:
  scorer(const decoder& model, const continuation_options& options, bq::executor& threads)
      : model_(model),
        options_(options),
        batch_(std::max<std::int64_t>(options.batch, 1)),
        rows_(std::max<std::int64_t>(logits_bytes / 4 / model.vocabulary, 16)),
        threads_(threads),
        evaluator_(model, {.tier = options.tier, .threads = &threads}) {}

  // As many tasks, from the first on, as are evaluated together: at least one.
  std::size_t fitting(std::span<const choices> tasks) const {
    std::int64_t length = 0, sequences = 0;
    std::size_t n = 0;
    for (; n < tasks.size(); ++n) {
      length = std::max(length, longest(tasks[n]));
      sequences += static_cast<std::int64_t>(tasks[n].size());
      if (n > 0 && sequences * length > positions_for_a_token * batch_) break;
    }
    return n;
  }

  // The scores of all choices of these tasks, one after the other; `first` is the number of the first task.
  std::vector<double> score(std::span<const choices> tasks, std::size_t first) {
    std::int64_t length = 0;
    std::vector<job> beginnings, rests;
    int sequence = 0;
    sums_.clear();
    for (std::size_t t = 0; t < tasks.size(); ++t) {
      const std::int64_t known = shared(tasks[t]);
      length = std::max(length, longest(tasks[t]));
      beginnings.push_back({sequence, 0, known, &tasks[t][0]});
      for (std::size_t c = 0; c < tasks[t].size(); ++c) {
        rests.push_back({sequence++, known, tasks[t][c].end - 1, &tasks[t][c]});
        sums_.push_back({first + t, c, 0});
      }
    }
    kv_cache cache(
        model_,
        {.keys = options_.keys, .values = options_.values, .context = length, .sequences = std::max(sequence, 1)});
    run(beginnings, cache);
    for (std::size_t t = 0; t < tasks.size(); ++t) {
      const job& done = beginnings[t];
      const auto count = static_cast<int>(tasks[t].size());
      for (int c = 1; c < count; ++c) cache.copy(done.sequence, done.sequence + c, done.end);
    }
    run(rests, cache);
    std::vector<double> scores;
    for (const job& j : rests) {
      scores.push_back(sums_[index(j.sequence)].log_p / static_cast<double>(j.of->end - j.of->first));
    }
    return scores;
  }

 private:
  struct job {  // tokens [begin, end) of a choice
    int sequence;
    std::int64_t begin, end;
    const continuation* of;
  };
  struct prediction {
    int target, sequence;
  };
  struct sum {  // of a sequence
    std::size_t task, choice;
    double log_p;
  };

  void run(std::span<const job> jobs, kv_cache& cache) {
    std::size_t next = 0;
    std::int64_t done = 0;  // tokens of that job
    while (next < jobs.size()) {
      std::vector<batch_part> parts;
      std::vector<prediction> predictions;
      std::int64_t rows = 0;
      while (next < jobs.size() && rows < batch_) {
        const job& j = jobs[next];
        const std::int64_t begin = j.begin + done, n = std::min(batch_ - rows, j.end - begin);
        const std::int64_t from = std::clamp(j.of->first - 1, begin, begin + n), wanted = begin + n - from;
        if (n > 0) {
          parts.push_back({j.sequence, std::span(j.of->tokens).subspan(index(begin), index(n)), index(wanted)});
        }
        for (std::int64_t i = from; i < begin + n; ++i) {
          predictions.push_back({j.of->tokens[index(i + 1)], j.sequence});
        }
        rows += n, done += n;
        if (begin + n == j.end) ++next, done = 0;
      }
      if (rows > 0) add(evaluator_.run(parts, cache), predictions);
    }
  }

  // Adds ln p of what the rows of hidden [predictions, embedding] predict.
  void add(std::span<const float> hidden, std::span<const prediction> predictions) {
    const std::size_t width = index(model_.embedding), vocabulary = index(model_.vocabulary);
    while (!predictions.empty()) {
      const auto these = predictions.first(std::min(predictions.size(), index(rows_)));
      predictions = predictions.subspan(these.size());
      logits_.resize(these.size() * vocabulary);
      evaluator_.logits(hidden.first(these.size() * width), logits_);
      hidden = hidden.subspan(these.size() * width);
      log_p_.resize(these.size());
      threads_.run(these.size(), [&](std::size_t i) {
        const auto row = std::span(logits_).subspan(i * vocabulary, vocabulary);
        log_p_[i] = summarise(row).log_probability(row[index(these[i].target)]);
      });
      for (std::size_t i = 0; i < these.size(); ++i) {
        sum& s = sums_[index(these[i].sequence)];
        s.log_p += log_p_[i];
        if (std::isfinite(s.log_p)) continue;
        throw bq::error({.code = bq::errc::not_finite,
                         .message = "the model's logits are not finite",
                         .subject = "task " + std::to_string(s.task) + ", choice " + std::to_string(s.choice)});
      }
    }
  }

  const decoder& model_;
  const continuation_options options_;
  const std::int64_t batch_, rows_;
  bq::executor& threads_;
  evaluator evaluator_;
  std::vector<sum> sums_;
  std::vector<float> logits_;
  std::vector<double> log_p_;
};

}  // namespace

std::int64_t common_prefix(std::span<const continuation> all) {
  const std::vector<int>& first = all[0].tokens;
  auto end = first.end();
  for (const continuation& c : all) {
    end = std::mismatch(first.begin(), end, c.tokens.begin(), c.tokens.end()).first;
  }
  return end - first.begin();
}

void score_continuations(const decoder& model, std::span<const choices> tasks, const continuation_options& options,
                         bq::executor& threads,
                         const std::function<void(std::size_t task, std::span<const double> scores)>& done) {
  scorer of(model, options, threads);
  for (std::size_t first = 0; first < tasks.size();) {
    const auto these = tasks.subspan(first, of.fitting(tasks.subspan(first)));
    const std::vector<double> scores = of.score(these, first);
    std::span<const double> left(scores);
    for (const choices& task : these) {
      done(first++, left.first(task.size()));
      left = left.subspan(task.size());
    }
  }
}

}  // namespace bq_llm
