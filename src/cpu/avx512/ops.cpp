// The operations between products.
#include "isa.hpp"
#include "src/cpu/attention.hpp"

namespace bq::avx512 {
const cpu::operations& ops() noexcept { return cpu::operations_for<isa>; }
}  // namespace bq::avx512
