// Every combination of what was asked for: checked, timed, and handed over one by one.
#pragma once
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "contest.hpp"
#include "operations.hpp"

namespace bq_bench {

struct request {
  std::vector<const operation*> ops;
  std::vector<const bq::type_info*> formats;
  std::vector<std::string_view> isas;  // as bq::isas() spells them
  std::vector<bq::tier> tiers;
  std::vector<std::int64_t> rows{4096}, cols{4096}, tokens{1, 512};
  std::vector<int> threads;
  bool quick = false, cached = false;
  bool neighbour = false;  // everything is measured again with a busy neighbour
};

// The tiers by name.
struct named_tier {
  std::string_view name;
  bq::tier tier;
};
std::span<const named_tier> tiers() noexcept;
std::string_view name(bq::tier t) noexcept;

// Throws wrong_result when a contestant's result is wrong; bq::error (bad_shape) before anything is measured when a
// format cannot have rows of so many columns.
void run(const request& r, const std::function<void(const result&)>& take);

}  // namespace bq_bench
