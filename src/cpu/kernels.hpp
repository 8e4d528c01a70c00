// What an instruction set offers: a row of functions for each type, derived from its format, and the dispatcher's list.
// Callers choose an instruction set once per product.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>
#include <string_view>

#include "blockquant/tier.hpp"
#include "blockquant/types.hpp"
#include "ops.hpp"

namespace bq::cpu {

struct activations;

// What one form of the products needs of each token in each panel (prologue.hpp), for tokens [first, last): `out`
// [panels][tokens], aligned to 64 bytes, of so many bytes each.
struct preparation {
  std::size_t bytes;
  void (*run)(const activations& x, std::int64_t first, std::int64_t last, std::byte* out) noexcept;
};

// A row of weights lies by itself or interleaved (row_source.hpp) with the others of its group of `lanes` rows, each
// filled up to whole words; row pointers then all point to the group.

// Columns [0, cols) of `count` rows, tokens [first, last): y [tokens, stride], beginning with token `first`. rows[i] is
// row i of the weights; where `count` does not fill the last strip, more rows follow, which may be any. sums: memory
// for [strips][last - first][strip rows].
using strip_fn = void (*)(const unsigned char* const* rows, bool interleaved, int count, std::int64_t cols,
                          const activations& x, const std::byte* prepared, std::int64_t first, std::int64_t last,
                          float* sums, float* y, std::int64_t stride) noexcept;
using quantize_fn = void (*)(const float* x, std::int64_t stride, std::int64_t first, std::int64_t last,
                             const activations& out) noexcept;

// Few tokens: `count` rows at w times all tokens: y [tokens, stride].
using matvec_fn = void (*)(const unsigned char* w, bool interleaved, std::int64_t row_bytes, std::int64_t count,
                           const activations& x, const std::byte* prepared, float* y, std::int64_t stride) noexcept;

inline constexpr int tiers = 3;
inline constexpr int matvec_tokens[] = {1, 2, 4};

// Of coded formats, for one tier.
struct coded_kernels {
  activation_scaling scales;                                 // of the activations that they take
  preparation few, many;                                     // of matvec's tokens, and of strip's
  std::array<matvec_fn, std::size(matvec_tokens)> matvec{};  // null where strip does
  strip_fn strip = nullptr;
};

struct format_kernels {
  type id;
  coded_kernels coded[tiers];

  const coded_kernels& of(tier t) const { return coded[static_cast<int>(t)]; }
};

// A group of rows to `out`, interleaved.
using interleave_fn = void (*)(const unsigned char* const* rows, std::int64_t row_bytes, unsigned char* out) noexcept;

struct kernels {
  int lanes, strip_rows;
  interleave_fn interleave;
  quantize_fn quantize;
  std::span<const format_kernels> formats;  // the coded ones, in the registry's order
};

// The same of a float format, with the activations as they are: x [tokens, cols]. memory: for [strip_rows][panel_cols]
// and [last - first][strip_rows] floats, aligned to 64 bytes.
struct float_kernels {
  type id;
  void (*matvec[std::size(matvec_tokens)])(const unsigned char* w, std::int64_t row_bytes, std::int64_t count,
                                           const float* x, std::int64_t cols, std::int64_t tokens, float* y,
                                           std::int64_t stride) noexcept;
  void (*strip)(const unsigned char* const* rows, int count, std::int64_t cols, const float* x, std::int64_t first,
                std::int64_t last, float* memory, float* y, std::int64_t stride) noexcept;
};

struct float_products {
  int strip_rows, panel_cols;
  std::span<const float_kernels> formats;
};

// quantize: x [rows, cols] to blocks by the reference method; importance null or [cols].
// decode: `count` blocks to floats.
struct codec {
  type id;
  void (*quantize)(const float* x, std::int64_t rows, std::int64_t cols, const float* importance,
                   void* blocks) noexcept;
  void (*decode)(const void* blocks, std::int64_t count, float* out) noexcept;
};

struct isa {
  const char* name;
  bool (*supported)() noexcept;
  const kernels& (*get)() noexcept;
  const float_products& (*floats)() noexcept;
  std::span<const codec> (*codecs)() noexcept;  // in the registry's order
  const operations& (*ops)() noexcept;
};

// By name; empty: $BQ_ISA, else the best one. Throws errc::invalid_argument.
const isa& choose(std::string_view name);

}  // namespace bq::cpu

namespace bq::scalar {
const cpu::kernels& kernels() noexcept;
const cpu::float_products& floats() noexcept;
std::span<const cpu::codec> codecs() noexcept;
const cpu::operations& ops() noexcept;
}  // namespace bq::scalar
namespace bq::avx2 {
const cpu::kernels& kernels() noexcept;
const cpu::float_products& floats() noexcept;
std::span<const cpu::codec> codecs() noexcept;
const cpu::operations& ops() noexcept;
}  // namespace bq::avx2
namespace bq::avx512 {
const cpu::kernels& kernels() noexcept;
const cpu::float_products& floats() noexcept;
std::span<const cpu::codec> codecs() noexcept;
const cpu::operations& ops() noexcept;
}  // namespace bq::avx512
namespace bq::neon {
const cpu::kernels& kernels() noexcept;
const cpu::float_products& floats() noexcept;
std::span<const cpu::codec> codecs() noexcept;
const cpu::operations& ops() noexcept;
}  // namespace bq::neon
