// Activations [tokens, cols] prepared once for several products: Q, K and V of one layer, or gate and up, whatever the
// types of their weights. matmul() gives the same bits as it does from the f32 activations.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "matmul.hpp"

namespace bq {

namespace cpu {
struct activation_forms;
}

// Holds the activations rounded as a tier says, for coded formats, and refers to the f32 activations themselves, which
// float formats take. Several threads may use one object in products at the same time.
class activations {
 public:
  activations() noexcept;  // of no tokens
  ~activations();
  activations(activations&& other) noexcept;
  activations& operator=(activations&& other) noexcept;

  // Takes x [tokens, cols], row-major and contiguous, instead of what it held; of `options`, tier, threads and isa
  // count. weights: the types that will meet it, which have x rounded each in its way (type_info::scaling); none: all.
  // x has to stay, unchanged, only for products with F32, F16 and BF16 weights. Allocates nothing where it once held as
  // much. Throws errc::bad_shape (cols below 1, tokens below 0, another number of floats), errc::invalid_argument (as
  // matmul()), errc::unknown_type, std::bad_alloc; then it holds no tokens.
  void assign(std::span<const float> x, std::int64_t tokens, std::int64_t cols, const matmul_options& options = {},
              std::span<const type> weights = {});

  // The same where x has yet to be written: write(first, last) writes tokens [first, last) of it, on any thread, and
  // they are rounded while they are in the cache. A norm or a gated activation needs no pass of its own this way.
  using writer = std::function<void(std::int64_t first, std::int64_t last)>;
  void assign_written(std::span<const float> x, std::int64_t tokens, std::int64_t cols, const writer& write,
                      const matmul_options& options = {}, std::span<const type> weights = {});

  std::int64_t tokens() const noexcept;
  std::int64_t cols() const noexcept;
  bq::tier tier() const noexcept;
  std::span<const float> x() const noexcept;           // as it was assigned
  const cpu::activation_forms& view() const noexcept;  // for the library

 private:
  struct contents;
  std::unique_ptr<contents> contents_;  // null until the first assign()
};

// As matmul(w, x.x(), x.tokens(), y, options), in the tier of `x`, which options.tier must name. Throws as that does,
// and errc::bad_shape where x has other columns than w, errc::invalid_argument where the tiers differ, or x was
// assigned for other types of weights.
void matmul(const matrix& w, const activations& x, std::span<float> y, const matmul_options& options = {});

// One of several products with the same activations: y [tokens, rows] = x w^T.
struct projection {
  matrix w;
  std::span<float> y;
};

// All of them in one loop of the threads: for small matrices, whose own loops would be over before all threads have
// come. As matmul() of each; no y may overlap another.
void matmul(std::span<const projection> products, const activations& x, const matmul_options& options = {});

}  // namespace bq
