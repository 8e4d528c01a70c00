// The reference quantisers, a block in each lane.
#include "src/cpu/quantizers.hpp"

#include "block_lanes.hpp"

namespace bq::neon {
std::span<const cpu::quantizer> quantizers() noexcept { return cpu::quantizer_table<block_lanes, all_formats>::rows; }
}  // namespace bq::neon
