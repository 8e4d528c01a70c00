// How probable a model finds each of several continuations of a text: what multiple choice questions are answered by.
//
//   score = 1 / (end - first) sum ln p(tokens[i] | tokens[0 .. i)), i = first ... end - 1
//
// What all choices of a task begin with is evaluated once.
#pragma once
#include <blockquant/parallel.hpp>
#include <blockquant/tier.hpp>
#include <blockquant/types.hpp>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "model/decoder.hpp"

namespace bq_llm {

// Tokens [first, end) are scored, 0 < first < end <= tokens.size(); those from `end` on are not looked at.
struct continuation {
  std::vector<int> tokens;
  std::int64_t first = 0, end = 0;
};

using choices = std::vector<continuation>;

// Tokens that all begin with. Of at least one.
std::int64_t common_prefix(std::span<const continuation> all);

struct continuation_options {
  bq::tier tier = bq::tier::exact;
  bq::type keys = bq::type::f16, values = bq::type::f16;
  std::int64_t batch = 2048;  // tokens evaluated at once
};

// Calls done(task, scores of its choices) for one task after the other. Scores do not depend on the batch, the threads
// or the other tasks. Throws errc::not_finite naming task and choice, counted from 0; and as kv_cache and
// evaluator::run.
void score_continuations(const decoder& model, std::span<const choices> tasks, const continuation_options& options,
                         bq::executor& threads,
                         const std::function<void(std::size_t task, std::span<const double> scores)>& done);

}  // namespace bq_llm
