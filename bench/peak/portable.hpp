// What the compiler makes of the two loops in plain C++ for its baseline: the peak of machines without better.
#pragma once
#include "peak.hpp"

namespace bq_bench {

extern const peak_loop portable_int8, portable_f32;

}  // namespace bq_bench
