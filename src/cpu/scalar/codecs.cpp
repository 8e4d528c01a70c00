// The reference quantisers, block by block, and the decoders.
#include "src/cpu/codecs.hpp"

#include "isa.hpp"

namespace bq::scalar {
std::span<const cpu::codec> codecs() noexcept { return cpu::codec_table<one_lane, isa, all_formats>::rows; }
}  // namespace bq::scalar
