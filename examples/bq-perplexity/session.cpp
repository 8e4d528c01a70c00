#include "session.hpp"

namespace bq_perplexity {

bq_llm::window_evaluator_options evaluator_options(const request& r, bq::executor& threads) {
  return {.evaluation = {.tier = r.tier, .threads = &threads}, .keys = r.keys, .values = r.values, .batch = r.batch};
}

nlohmann::ordered_json to_json(const bq_llm::estimate& e) { return {{"value", e.value}, {"error", e.error}}; }

}  // namespace bq_perplexity
