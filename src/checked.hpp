// Sizes that cannot wrap. Every byte range of a file is computed with this type, and nothing else multiplies sizes: an
// overflow anywhere in an expression sticks to its result, which can then only be asked for through at_most().
#pragma once
#include <cstdint>
#include <limits>
#include <optional>

namespace bq {

class checked {
 public:
  constexpr checked(std::uint64_t value) noexcept : value_(value) {}

  friend constexpr checked operator+(checked a, checked b) noexcept {
    checked sum = 0;
    const bool wraps = __builtin_add_overflow(a.value_, b.value_, &sum.value_);
    sum.wrapped_ = wraps || a.wrapped_ || b.wrapped_;
    return sum;
  }
  friend constexpr checked operator*(checked a, checked b) noexcept {
    checked product = 0;
    const bool wraps = __builtin_mul_overflow(a.value_, b.value_, &product.value_);
    product.wrapped_ = wraps || a.wrapped_ || b.wrapped_;
    return product;
  }

  // The next multiple of `alignment`, a power of two.
  constexpr checked padded(std::uint64_t alignment) const noexcept {
    checked up = *this + (alignment - 1);
    up.value_ &= ~(alignment - 1);
    return up;
  }

  // The value, unless it wrapped on the way or exceeds `limit`.
  constexpr std::optional<std::uint64_t> at_most(
      std::uint64_t limit = std::numeric_limits<std::uint64_t>::max()) const noexcept {
    if (wrapped_ || value_ > limit) return std::nullopt;
    return value_;
  }

 private:
  std::uint64_t value_;
  bool wrapped_ = false;
};

// What file offsets can express.
inline constexpr std::uint64_t max_file_bytes = std::numeric_limits<std::int64_t>::max();

}  // namespace bq
