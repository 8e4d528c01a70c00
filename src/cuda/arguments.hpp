// Checks of arguments that entry points share: what does not make sense is said before the device is asked.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include "blockquant/cuda_ops.hpp"

namespace bq::cuda {

// Throws errc::invalid_argument unless `p` is a device pointer as far as one can see: not null, and aligned.
inline void require_pointer(const char* what, const void* p, std::size_t alignment) {
  if (p && reinterpret_cast<std::uintptr_t>(p) % alignment == 0) return;
  throw error({.code = errc::invalid_argument,
               .message = "not a usable device pointer",
               .subject = what,
               .expected = "not null, aligned to " + std::to_string(alignment) + " bytes",
               .found = p ? "aligned to less" : "null"});
}

// Throws errc::bad_shape unless `good`.
inline void require_shape(bool good, const char* what, std::string expected, std::string found) {
  if (good) return;
  throw error({.code = errc::bad_shape,
               .message = std::string("impossible ") + what,
               .expected = std::move(expected),
               .found = std::move(found)});
}

// Throws errc::invalid_argument for a tier that products on the GPU do not have.
inline void require_tier(tier t) {
  if (t == tier::exact || t == tier::fast) return;
  throw error({.code = errc::invalid_argument,
               .message = "products on the GPU do not have this tier",
               .expected = "tier::exact, which rounds activations to 11 bits, or tier::fast"});
}

// Throws errc::unknown_type, errc::bad_shape or errc::invalid_argument when there is no such cache.
inline void check_cache(const paged_cache& c) {
  require_shape(c.kv_heads > 0 && c.head_dim > 0 && c.head_dim <= 1024, "heads of a cache",
                "1 or more, of 1 to 1024 values", std::to_string(c.kv_heads) + " of " + std::to_string(c.head_dim));
  require_shape(c.page > 0 && c.slots >= 0 && c.slots % c.page == 0, "slots of a cache",
                "a multiple of the page's size, which is 1 or more",
                std::to_string(c.slots) + " in pages of " + std::to_string(c.page));
  row_bytes(c.keys_type, c.head_dim);
  row_bytes(c.values_type, c.head_dim);
  require_pointer("keys of a cache", c.keys, 16);
  require_pointer("values of a cache", c.values, 16);
}

}  // namespace bq::cuda
