// The lanes of reference quantisers, with this instruction set's own vectors where the generic ones call xsimd.
#pragma once
#include <xsimd/xsimd.hpp>

#include "isa.hpp"
#include "src/cpu/block_lanes.hpp"

namespace bq::neon {

struct block_lanes : cpu::block_lanes<isa> {
  BQ_HD static reals select(mask m, reals a, reals b) { return vbslq_f32(m.v, a.v, b.v); }
  BQ_HD static ints select(mask m, ints a, ints b) { return vbslq_s32(m.v, a.v, b.v); }
  BQ_HD static bool any(mask m) { return vmaxvq_u32(m.v) != 0; }
  BQ_HD static ints min(ints a, ints b) { return vminq_s32(a.v, b.v); }
  BQ_HD static ints max(ints a, ints b) { return vmaxq_s32(a.v, b.v); }
  BQ_HD static reals sqrt(reals x) { return vsqrtq_f32(x.v); }
  BQ_HD static ints truncate(reals x) {
    return select(x >= -2147483648.0f && x < 2147483648.0f, ints(vcvtq_s32_f32(x.v)), INT32_MIN);
  }
};

}  // namespace bq::neon
