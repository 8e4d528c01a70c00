// Matrix products with quantised weights on CPUs: y[tokens, rows] = x[tokens, cols] * w[rows, cols]^T, from one token
// to thousands, straight from the file's layout.
//
// Results are a function of w, the token and the tier alone: bit-identical for any number of threads, any division of
// the tokens between calls, any position in them, and every instruction set.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "parallel.hpp"
#include "tensor.hpp"
#include "tier.hpp"

namespace bq {

// Memory for what a product computes on the way. Kept by the caller from call to call, it spares every call but the
// first few its allocations. One product at a time may use it; it grows to what the largest one needs.
class workspace {
 public:
  workspace() noexcept;
  ~workspace();
  workspace(workspace&& other) noexcept;
  workspace& operator=(workspace&& other) noexcept;

  struct contents;
  contents& get();  // for the library; made by the first call

 private:
  std::unique_ptr<contents> contents_;
};

struct matmul_options {
  bq::tier tier = bq::tier::exact;
  executor* threads = nullptr;  // null: the calling thread
  std::string_view isa = {};    // one of isas(); empty: $BQ_ISA, else the best one this machine has
  workspace* memory = nullptr;  // null: allocated by the call
};

// x [tokens, cols] and y [tokens, rows] are row-major and contiguous, at any alignment of 4 bytes; y must not overlap
// the others. NaN or infinity among 32 activations makes the token's outputs NaN; a NaN or infinite scale makes its
// row's outputs NaN or infinite. Thread safe on distinct y. Throws errc::unknown_type, errc::bad_shape,
// errc::invalid_argument (an instruction set that does not exist, or that this machine has not), std::bad_alloc.
void matmul(const matrix& w, std::span<const float> x, std::int64_t tokens, std::span<float> y,
            const matmul_options& options = {});

// The instruction sets this machine can run, best first: "avx512", "avx2", "neon", "scalar".
std::vector<std::string_view> isas();

// The one that matmul() uses for this name, as it stands in matmul_options::isa. Throws as matmul().
std::string_view chosen_isa(std::string_view name = {});

}  // namespace bq
