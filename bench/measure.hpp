// Times the contestants of one configuration against each other: in turns, so that whatever else the machine does
// falls on all of them alike.
#pragma once
#include <cstddef>
#include <span>
#include <vector>

#include "contest.hpp"

namespace bq_bench {

struct timing {
  double median = 0, best = 0;  // seconds of one call
  double spread = 0;            // distance of the quartiles over the median
  std::size_t repetitions = 0;
};

struct patience {
  std::size_t least = 7;  // repetitions
  double spread = 0.01;   // stop when every contestant's is as small as this
  double seconds = 0.4;   // of measuring for each contestant; repetitions beyond `least` stop then
};

// One timing for each contestant, after a warm-up. Repetitions are at least 0.2 ms long: short calls are repeated.
std::vector<timing> measure(std::span<const contestant> contestants, const patience& limits);

// Of the seconds of each repetition; at least one.
timing summarise(std::vector<double> seconds);

}  // namespace bq_bench
