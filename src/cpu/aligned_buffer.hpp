// Memory for vectors: begins at a cache line, and only grows. What it held is lost when it does.
#pragma once
#include <cstddef>
#include <memory>
#include <new>

namespace bq::cpu {

class aligned_buffer {
 public:
  static constexpr std::align_val_t alignment{64};

  std::byte* reserve(std::size_t bytes) {
    if (bytes > capacity_) {
      capacity_ = 0;
      memory_.reset();
      memory_.reset(static_cast<std::byte*>(::operator new[](bytes, alignment)));
      capacity_ = bytes;
    }
    return memory_.get();
  }

 private:
  struct release {
    void operator()(std::byte* p) const noexcept { ::operator delete[](p, alignment); }
  };
  std::size_t capacity_ = 0;
  std::unique_ptr<std::byte[], release> memory_;
};

}  // namespace bq::cpu
