#include "task_kind.hpp"

#include <algorithm>
#include <array>
#include <numeric>
#include <random>

namespace bq_perplexity {

namespace {

constexpr std::int64_t most_short = 3;  // tokens after the common ones of a sentence that is scored with its choice

std::int64_t size(const bq_llm::continuation& c) { return static_cast<std::int64_t>(c.tokens.size()); }

std::vector<std::size_t> numbers(std::size_t n) {
  std::vector<std::size_t> all(n);
  std::iota(all.begin(), all.end(), std::size_t{0});
  return all;
}

bq_llm::choices encode(const bq_llm::tokenizer& t, const choice_task& task) {
  bq_llm::choices all;
  for (const std::string& choice : task.choices) {
    all.push_back({.tokens = t.encode(task.before + choice + task.after, true, false)});
  }
  return all;
}

// First token that is scored where scoring begins with what differs: not the very first one, which nothing predicts,
// and at least the last one of each.
std::int64_t first_difference(const bq_llm::choices& all) {
  std::int64_t first = bq_llm::common_prefix(all);
  for (const bq_llm::continuation& c : all) first = std::min(first, size(c) - 1);
  return std::max<std::int64_t>(first, 1);
}

}  // namespace

std::vector<std::size_t> select_shuffled(std::size_t there_are, std::size_t wanted) {
  std::vector<std::size_t> left = numbers(there_are), taken;
  std::mt19937 random(1);
  // Lemire's unbiased draw, which std::uniform_int_distribution is in libstdc++, but not in every library.
  const auto draw = [&](std::uint32_t n) {
    for (;;) {
      const std::uint64_t product = std::uint64_t{static_cast<std::uint32_t>(random())} * n;
      if (static_cast<std::uint32_t>(product) >= (0u - n) % n) return static_cast<std::size_t>(product >> 32);
    }
  };
  while (taken.size() < wanted && !left.empty()) {
    const auto at = left.begin() + static_cast<std::ptrdiff_t>(draw(static_cast<std::uint32_t>(left.size())));
    taken.push_back(*at);
    left.erase(at);
  }
  return taken;
}

std::vector<std::size_t> select_some(std::size_t there_are, std::size_t wanted) {
  std::vector<std::size_t> left = numbers(there_are), taken;
  if (wanted >= there_are) return left;
  std::mt19937 random(1);
  while (taken.size() < wanted) {
    const float share = 0x1p-32f * static_cast<float>(random());  // 1 when the number is rounded up
    const auto drawn = static_cast<std::size_t>(share * static_cast<float>(left.size()));
    std::size_t& at = left[std::min(drawn, left.size() - 1)];
    taken.push_back(at);
    at = left.back();
    left.pop_back();
  }
  return taken;
}

bq_llm::choices score_endings(const bq_llm::tokenizer& t, const choice_task& task) {
  bq_llm::choices all = encode(t, task);
  const std::int64_t first = first_difference(all);
  for (bq_llm::continuation& c : all) c.first = first, c.end = size(c);
  return all;
}

bq_llm::choices score_sentences(const bq_llm::tokenizer& t, const choice_task& task) {
  bq_llm::choices all = encode(t, task);
  const std::int64_t first = first_difference(all);
  std::vector<std::int64_t> after;  // the choice
  bool behind = true;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto begin = static_cast<std::int64_t>(t.encode(task.before + task.choices[i], true, false).size());
    after.push_back(std::max<std::int64_t>(begin, 1));
    behind = behind && size(all[i]) - first > most_short && begin < size(all[i]);
  }
  for (std::size_t i = 0; i < all.size(); ++i) {
    bq_llm::continuation& c = all[i];
    c.first = behind ? after[i] : first;
    c.end = size(c) - (size(c) - c.first > 1 ? 1 : 0);
  }
  return all;
}

std::span<const task_kind> task_kinds() {
  static constexpr std::array kinds{
      task_kind{"hellaswag", "HellaSwag", "text, 6 lines for a task: context, number of the right ending, four endings",
                400, read_hellaswag, select_shuffled, score_endings},
      task_kind{"winogrande", "Winogrande", "CSV, a line for a task: index,sentence with _,choice,choice,1 or 2", 0,
                read_winogrande, select_some, score_sentences},
      task_kind{"multiple-choice", "multiple choice", "binary, as llama.cpp's for ARC, MMLU and TruthfulQA", 0,
                read_multiple_choice, select_some, score_endings}};
  return kinds;
}

}  // namespace bq_perplexity
