// The operations between products.
#include "isa.hpp"
#include "src/cpu/attention.hpp"

namespace bq::scalar {
const cpu::operations& ops() noexcept { return cpu::operations_for<isa>; }
}  // namespace bq::scalar
