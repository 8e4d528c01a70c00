// A session that answers prompts the way a request wants it: streamed, summed up on standard error, or as JSON.
#pragma once
#include <vector>

#include "request.hpp"

namespace bq_run {

class answerer {
 public:
  // Loads the model, and says so. `r` and `stop` must outlive it.
  answerer(const request& r, const interrupt& stop);

  session& model() noexcept { return session_; }
  generation answer(std::vector<int> prompt_ids);

 private:
  const request& request_;
  const interrupt& stop_;
  const std::uint64_t seed_;
  bq_llm::sampler sampler_;
  session session_;
};

}  // namespace bq_run
