// What the command line asks for. Every command is a function of a request, prints its result on standard output, and
// throws bq::error.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base_file.hpp"
#include "evaluation/windows.hpp"
#include "program/compute_options.hpp"
#include "program/progress.hpp"

namespace bq_perplexity {

struct task_kind;

struct request : bq_program::compute_options {
  std::string model, text;
  std::optional<std::int64_t> context;  // tokens of a window; not given: 512, or the base file's
  std::int64_t windows = -1;            // at most; negative: all
  std::int64_t batch = 2048;            // tokens evaluated at once
  std::string base;                     // base file, written or read
  bq_perplexity::base_form base_form = bq_perplexity::base_form::codes;  // of one that is written
  std::vector<std::string> compare;                                      // models
  std::string compare_base;                                              // not given: the first of them
  const task_kind* tasks = nullptr;                                      // what is measured instead of the text
  std::optional<std::int64_t> most_tasks;                                // 0: all
  std::string plot = "comparison.svg";                                   // empty: none
  bool json = false;
  bq_program::progress_style style = bq_program::progress_style::automatic;
};

int perplexity_command(const request& r);
int divergence_command(const request& r);
int compare_command(const request& r);
int tasks_command(const request& r);

}  // namespace bq_perplexity
