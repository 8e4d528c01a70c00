// Built where no peer is installed.
#include "peer.hpp"

namespace bq_bench {

std::vector<contestant> product_peers(const configuration&, const rotation&, std::span<const float>) { return {}; }
std::vector<quantize_peer> quantize_peers(const configuration&, bq::executor&) { return {}; }

}  // namespace bq_bench
