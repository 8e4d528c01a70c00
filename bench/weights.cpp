#include "weights.hpp"

#include <algorithm>
#include <cstring>
#include <new>
#include <random>

#include "machine.hpp"

namespace bq_bench {

std::vector<float> random_values(std::int64_t n, float sigma, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, sigma);
  std::vector<float> out(static_cast<std::size_t>(n));
  for (float& v : out) v = normal(random);
  return out;
}

rotation::rotation(std::span<const std::byte> distinct, std::int64_t rows, std::size_t row_bytes, bool cached)
    : bytes_(static_cast<std::size_t>(rows) * row_bytes),
      stride_((bytes_ + alignment - 1) / alignment * alignment),
      copies_(cached ? 1 : 2 * last_level_cache() / stride_ + 1),
      data_(static_cast<std::byte*>(::operator new[](copies_* stride_, std::align_val_t(alignment)))) {
  for (std::size_t copy = 0; copy < copies_; ++copy) {
    std::byte* to = data_.get() + copy * stride_;
    for (std::size_t done = 0; done < bytes_; done += std::min(distinct.size(), bytes_ - done)) {
      std::memcpy(to + done, distinct.data(), std::min(distinct.size(), bytes_ - done));
    }
  }
}

void rotation::release::operator()(std::byte* p) const noexcept { ::operator delete[](p, std::align_val_t(alignment)); }

}  // namespace bq_bench
