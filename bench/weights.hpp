// Input of the measurements: random weights, and copies of them that are used in turn, so that none is still in the
// cache when its turn comes again.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace bq_bench {

// Matrices repeat after so many rows, which keeps their making short. A prime: no tile or panel divides it.
inline constexpr std::int64_t distinct_rows = 113;

// n normally distributed values of this standard deviation; the same for the same seed.
std::vector<float> random_values(std::int64_t n, float sigma, unsigned seed);

// Identical copies of a matrix [rows, row_bytes], each aligned to 64 bytes: together more than twice the last-level
// cache, or a single one.
class rotation {
 public:
  // `distinct` holds the first rows, which repeat.
  rotation(std::span<const std::byte> distinct, std::int64_t rows, std::size_t row_bytes, bool cached);

  std::size_t copies() const noexcept { return copies_; }
  std::span<const std::byte> operator[](std::size_t turn) const noexcept {
    return {data_.get() + turn % copies_ * stride_, bytes_};
  }

 private:
  static constexpr std::size_t alignment = 64;
  struct release {
    void operator()(std::byte* p) const noexcept;
  };
  std::size_t bytes_, stride_, copies_;
  std::unique_ptr<std::byte[], release> data_;
};

}  // namespace bq_bench
