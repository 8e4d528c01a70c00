// The reference quantisers, block by block.
#include "src/cpu/quantizers.hpp"

namespace bq::scalar {
std::span<const cpu::quantizer> quantizers() noexcept { return cpu::quantizer_table<one_lane, all_formats>::rows; }
}  // namespace bq::scalar
