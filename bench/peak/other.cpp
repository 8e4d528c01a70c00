// Processors that no file knows better.
#include "portable.hpp"

namespace bq_bench {

std::span<const peak_loop> int8_loops() noexcept { return {&portable_int8, 1}; }
std::span<const peak_loop> f32_loops() noexcept { return {&portable_f32, 1}; }

}  // namespace bq_bench
