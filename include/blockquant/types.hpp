// Types: what each block format is called, how large it is, and what can be done with it. Every row is derived from the
// format's header (formats/) at compile time.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>

#include "formats/type.hpp"

namespace bq {

struct type_info {
  type id;
  std::string_view name;       // as in GGUF: "q4_K", "f16"
  std::uint32_t block_size;    // weights per block
  std::uint32_t block_bytes;   // bytes per block
  bool quantized;              // false for f32, f16, bf16
  bool activation_only;        // q8_1, q8_K: never in files
  bool uses_importance;        // an importance matrix changes the bytes
  activation_scaling scaling;  // of the activations that matmul() rounds for it
  double bits_per_weight() const noexcept { return 8.0 * block_bytes / block_size; }
};

// Every type the library computes with, in the registry's order. Static storage.
std::span<const type_info> types() noexcept;

// Null when the library does not compute with `id` (it may still be able to copy it: gguf.hpp).
const type_info* find_type(type id) noexcept;
// By name, in any case: "Q4_K", "q4_k". Null when there is none.
const type_info* find_type(std::string_view name) noexcept;
// As find_type; throws errc::unknown_type.
const type_info& info(type id);

// True when rows of `cols` weights can be stored as `id`: cols > 0 and a multiple of the block size.
bool can_quantize(type id, std::int64_t cols) noexcept;

// Bytes of one row of `cols` weights. Throws errc::unknown_type, errc::bad_shape (cols not a positive multiple of the
// block size), errc::out_of_range (does not fit 63 bits).
std::uint64_t row_bytes(type id, std::int64_t cols);

}  // namespace bq
