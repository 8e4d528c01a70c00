// Which kernel takes a product of the fast tier.
#include "fast.hpp"

namespace bq::cuda {

void fast_product(const device_matrix::contents& w, const byte_matrix& x, float* y, stream s) {
  (w.device.has_wgmma ? launch_fast_hopper : launch_fast_mma)(w, x, y, s);
}

}  // namespace bq::cuda
