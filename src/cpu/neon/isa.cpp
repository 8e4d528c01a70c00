// The kernels of this instruction set.
#include "isa.hpp"

#include "src/cpu/table.hpp"

namespace bq::neon {
const cpu::kernels& kernels() noexcept { return cpu::kernels_for<isa>; }
}  // namespace bq::neon
