// The reference quantisers, a block in each lane.
#include "src/cpu/quantizers.hpp"

#include "isa.hpp"
#include "src/cpu/block_lanes.hpp"

namespace bq::avx512 {
std::span<const cpu::quantizer> quantizers() noexcept {
  return cpu::quantizer_table<cpu::block_lanes<isa>, all_formats>::rows;
}
}  // namespace bq::avx512
