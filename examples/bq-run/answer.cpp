#include "answer.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <random>

#include "report.hpp"

namespace bq_run {

namespace {

bq_llm::sampling_options with_seed(bq_llm::sampling_options options, std::uint64_t seed) {
  options.seed = seed;
  return options;
}

}  // namespace

answerer::answerer(const request& r, const interrupt& stop)
    : request_(r),
      stop_(stop),
      seed_(r.seed.value_or(std::random_device()())),
      sampler_(with_seed(r.generation.sampling, seed_)),
      session_(r) {
  if (!r.quiet) print_loaded(session_);
}

generation answerer::answer(std::vector<int> prompt_ids) {
  generation g =
      generate(session_, std::move(prompt_ids), sampler_, request_.generation, stop_, [&](std::string_view text) {
        if (request_.json) return;
        std::fwrite(text.data(), 1, text.size(), stdout);
        std::fflush(stdout);
      });
  if (request_.json) {
    print_json(session_, g, seed_);
  } else {
    fmt::print("\n");
    std::fflush(stdout);
  }
  if (!request_.quiet) print_summary(g, seed_);
  return g;
}

}  // namespace bq_run
