// Other libraries that do the same work in the same run. CMake picks ggml.cpp where find_package(ggml) succeeds, else
// none.cpp.
#pragma once
#include <blockquant/parallel.hpp>
#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "../contest.hpp"
#include "../weights.hpp"

namespace bq_bench {

// Products with `blocks`, whose copies the peers use in turn, or copy in a layout of their own. Both arguments outlive
// the contestants.
std::vector<contestant> product_peers(const configuration& c, const rotation& blocks, std::span<const float> x);

struct quantize_peer {
  std::string name;
  std::function<void(std::span<const float> weights, std::span<std::byte> blocks)> quantize;  // [rows, cols]
};
std::vector<quantize_peer> quantize_peers(const configuration& c, bq::executor& threads);

}  // namespace bq_bench
