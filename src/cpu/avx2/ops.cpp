// The operations between products.
#include "isa.hpp"
#include "src/cpu/attention.hpp"

namespace bq::avx2 {
const cpu::operations& ops() noexcept { return cpu::operations_for<isa>; }
}  // namespace bq::avx2
