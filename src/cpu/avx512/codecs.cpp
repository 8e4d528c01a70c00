// The reference quantisers, a block in each lane, and the decoders.
#include "src/cpu/codecs.hpp"

#include "isa.hpp"
#include "src/cpu/block_lanes.hpp"

namespace bq::avx512 {
std::span<const cpu::codec> codecs() noexcept {
  return cpu::codec_table<cpu::block_lanes<isa>, isa, all_formats>::rows;
}
}  // namespace bq::avx512
