// The embedded model, and what is known of its continuations: tests/model/golden.cpp describes the data.
#pragma once
#include <string>
#include <vector>

namespace bq_run_test {

struct golden {
  std::string prompt;
  std::vector<int> prompt_ids, ids;  // with bos; 40 greedy tokens
};
const std::vector<golden>& golden_continuations();

}  // namespace bq_run_test
