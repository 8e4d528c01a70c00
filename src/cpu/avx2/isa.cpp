// The kernels of this instruction set.
#include "isa.hpp"

#include "src/cpu/table.hpp"

namespace bq::avx2 {
const cpu::kernels& kernels() noexcept { return cpu::kernels_for<isa>; }
}  // namespace bq::avx2
