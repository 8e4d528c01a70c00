// A product to be computed: random weights of a type and activations, each at the end of a page beyond which nothing
// may be touched.
#pragma once
#include <doctest/doctest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <blockquant/error.hpp>
#include <blockquant/matmul.hpp>
#include <blockquant/quantize.hpp>
#include <cstring>
#include <random>
#include <vector>

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

struct problem {
  std::int64_t rows, cols, tokens;
  bq::type id;
  guarded<std::byte> blocks;
  guarded<float> x;
  std::vector<float> weights;  // decoded

  problem(bq::type t, std::int64_t n_rows, std::int64_t n_cols, std::int64_t n_tokens, float sigma = 1.0f)
      : rows(n_rows),
        cols(n_cols),
        tokens(n_tokens),
        id(t),
        blocks(static_cast<std::size_t>(rows) * bq::row_bytes(t, cols)),
        x(static_cast<std::size_t>(tokens * cols)),
        weights(static_cast<std::size_t>(rows * cols)) {
    std::mt19937 random(static_cast<unsigned>(rows * 7 + cols * 3 + tokens));
    std::normal_distribution<float> normal(0.0f, 1.0f);
    for (float& w : weights) w = normal(random) * 0.05f;
    bq::quantize(id, weights, rows, cols, blocks.span());
    bq::dequantize(id, blocks.span(), rows, cols, weights);
    for (float& v : x.span()) v = normal(random) * sigma;
  }

  bq::matrix w() const { return {id, rows, cols, blocks.span()}; }

  std::vector<float> product(const bq::matmul_options& options = {}) const {
    guarded<float> y(static_cast<std::size_t>(tokens * rows));
    std::memset(y.span().data(), 0xff, y.span().size_bytes());
    bq::matmul(w(), x.span(), tokens, y.span(), options);
    return {y.span().begin(), y.span().end()};
  }
};

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

template <class Call>
bq::errc code_of(const Call& call) {
  try {
    call();
  } catch (const bq::error& e) {
    return e.code();
  }
  FAIL("nothing was thrown");
  return bq::errc::io;
}
