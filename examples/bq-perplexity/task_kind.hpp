// The kinds of tasks that models are measured with: how their files are read, which tasks are taken, and which tokens
// of a choice are scored. All as in llama-perplexity, so that scores compare, and the same on every machine.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "evaluation/continuations.hpp"
#include "task_file.hpp"
#include "tokenizer/tokenizer.hpp"

namespace bq_perplexity {

struct task_kind {
  const char* name;      // as an option
  const char* title;     // in results
  const char* contents;  // of the file, in words
  std::int64_t most;     // tasks that are taken if nobody says how many; 0: all
  std::vector<choice_task> (*read)(const std::string& path);
  // The tasks that are taken, in order: `wanted` of them, or all where there are not so many.
  std::vector<std::size_t> (*select)(std::size_t there_are, std::size_t wanted);
  bq_llm::choices (*prepare)(const bq_llm::tokenizer& t, const choice_task& task);
};

std::span<const task_kind> task_kinds();

// Drawn with a fixed seed. `shuffled` draws from all; the other one takes all in order, where all are wanted.
std::vector<std::size_t> select_shuffled(std::size_t there_are, std::size_t wanted);
std::vector<std::size_t> select_some(std::size_t there_are, std::size_t wanted);

// Scored is what follows the tokens that all choices begin with. A choice of one token has nothing to score: its
// `first` is its `end`.
bq_llm::choices score_endings(const bq_llm::tokenizer& t, const choice_task& task);

// Scored is what follows the choice, but for the last token; and the choice too where one of the sentences has no more
// than three tokens that differ, or ends with it. (llama-perplexity takes the first token's probability from a wrong
// place then, for the second sentence.)
bq_llm::choices score_sentences(const bq_llm::tokenizer& t, const choice_task& task);

}  // namespace bq_perplexity
