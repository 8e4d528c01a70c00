// The value types of GGUF metadata: name, size, and the C++ type of each.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "blockquant/gguf.hpp"
#include "byte_order.hpp"

namespace bq::gguf {

struct value_type_row {
  std::string_view name;
  std::uint32_t bytes;  // 0 for strings and arrays, whose size varies
};

// Indexed by the type's number.
inline constexpr std::array<value_type_row, 13> value_types{{
    {"u8", 1},
    {"i8", 1},
    {"u16", 2},
    {"i16", 2},
    {"u32", 4},
    {"i32", 4},
    {"f32", 4},
    {"bool", 1},
    {"str", 0},
    {"arr", 0},
    {"u64", 8},
    {"i64", 8},
    {"f64", 8},
}};

inline constexpr std::uint32_t value_bytes(value_type t) { return value_types[static_cast<std::uint32_t>(t)].bytes; }

// Calls visit(x) with the number or bool at `from`, in its own C++ type; visit() for strings and arrays.
template <class Visit>
auto visit_number(value_type t, const std::byte* from, Visit&& visit) {
  switch (t) {
    case value_type::u8:
      return visit(load<std::uint8_t>(from));
    case value_type::i8:
      return visit(load<std::int8_t>(from));
    case value_type::u16:
      return visit(load<std::uint16_t>(from));
    case value_type::i16:
      return visit(load<std::int16_t>(from));
    case value_type::u32:
      return visit(load<std::uint32_t>(from));
    case value_type::i32:
      return visit(load<std::int32_t>(from));
    case value_type::f32:
      return visit(load<float>(from));
    case value_type::boolean:
      return visit(load<std::uint8_t>(from) != 0);
    case value_type::u64:
      return visit(load<std::uint64_t>(from));
    case value_type::i64:
      return visit(load<std::int64_t>(from));
    case value_type::f64:
      return visit(load<double>(from));
    case value_type::string:
    case value_type::array:
      break;
  }
  return visit();
}

}  // namespace bq::gguf
