// The products of float formats.
#include "isa.hpp"
#include "src/cpu/float_product.hpp"

namespace bq::avx2 {
const cpu::float_products& floats() noexcept { return cpu::float_products_for<isa>; }
}  // namespace bq::avx2
