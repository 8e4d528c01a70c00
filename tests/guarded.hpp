// Memory for tests whose end is guarded: one step beyond it ends the program.
#pragma once
#include <doctest/doctest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <span>

namespace test {

// n values that end where a page begins that must not be touched.
template <class T>
class guarded {
 public:
  explicit guarded(std::size_t n) : n_(n) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    bytes_ = (n * sizeof(T) + page - 1) / page * page + page;
    base_ = static_cast<char*>(mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    REQUIRE(base_ != MAP_FAILED);
    REQUIRE(mprotect(base_ + bytes_ - page, page, PROT_NONE) == 0);
    data_ = reinterpret_cast<T*>(base_ + bytes_ - page - n * sizeof(T));
  }
  ~guarded() { munmap(base_, bytes_); }
  guarded(const guarded&) = delete;
  guarded& operator=(const guarded&) = delete;
  std::span<T> span() const { return {data_, n_}; }
  T& operator[](std::size_t i) const { return data_[i]; }

 private:
  std::size_t n_, bytes_;
  char* base_;
  T* data_;
};

}  // namespace test
