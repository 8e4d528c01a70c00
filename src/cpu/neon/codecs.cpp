// The reference quantisers, a block in each lane, and the decoders.
#include "src/cpu/codecs.hpp"

#include "block_lanes.hpp"

namespace bq::neon {
std::span<const cpu::codec> codecs() noexcept { return cpu::codec_table<block_lanes, isa, all_formats>::rows; }
}  // namespace bq::neon
