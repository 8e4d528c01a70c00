// Metadata values. A value is its encoding; accessors decode one element on demand.
#include <limits>
#include <type_traits>
#include <utility>

#include "encoder.hpp"
#include "value_types.hpp"

namespace bq::gguf {

namespace {

// Of an array's encoding: u32 element type, u64 count, then the elements.
constexpr std::size_t array_prefix = 12;

encoder array_header(value_type element, std::size_t count) {
  encoder out;
  out.number(static_cast<std::uint32_t>(element));
  out.number(static_cast<std::uint64_t>(count));
  return out;
}

// The integer at `from` as Target, when it is one and fits.
template <class Target>
std::optional<Target> integer(value_type t, const std::byte* from) {
  return visit_number(t, from, [](auto... x) -> std::optional<Target> {
    if constexpr ((... && (std::is_integral_v<decltype(x)> && !std::is_same_v<decltype(x), bool>)) &&
                  sizeof...(x) == 1) {
      if ((... && std::in_range<Target>(x))) return static_cast<Target>((x, ...));
    }
    return std::nullopt;
  });
}

}  // namespace

std::string_view name(value_type t) noexcept {
  const auto i = static_cast<std::uint32_t>(t);
  return i < value_types.size() ? value_types[i].name : "unknown";
}

template <class T>
value value::scalar(value_type type, T x) {
  encoder out;
  out.number(x);
  value v;
  v.type_ = v.element_ = type;
  v.bytes_ = std::move(out.bytes);
  return v;
}

template <class T>
value value::numbers(value_type element, std::span<const T> items) {
  encoder out = array_header(element, items.size());
  out.raw(std::as_bytes(items));
  value v;
  v.type_ = value_type::array;
  v.element_ = element;
  v.bytes_ = std::move(out.bytes);
  return v;
}

value value::of_u8(std::uint8_t x) { return scalar(value_type::u8, x); }
value value::of_i8(std::int8_t x) { return scalar(value_type::i8, x); }
value value::of_u16(std::uint16_t x) { return scalar(value_type::u16, x); }
value value::of_i16(std::int16_t x) { return scalar(value_type::i16, x); }
value value::of_u32(std::uint32_t x) { return scalar(value_type::u32, x); }
value value::of_i32(std::int32_t x) { return scalar(value_type::i32, x); }
value value::of_u64(std::uint64_t x) { return scalar(value_type::u64, x); }
value value::of_i64(std::int64_t x) { return scalar(value_type::i64, x); }
value value::of_f32(float x) { return scalar(value_type::f32, x); }
value value::of_f64(double x) { return scalar(value_type::f64, x); }
value value::of_bool(bool x) { return scalar(value_type::boolean, static_cast<std::uint8_t>(x)); }
value value::of_u64s(std::span<const std::uint64_t> items) { return numbers(value_type::u64, items); }
value value::of_i32s(std::span<const std::int32_t> items) { return numbers(value_type::i32, items); }
value value::of_f32s(std::span<const float> items) { return numbers(value_type::f32, items); }

value value::of_string(std::string_view text) {
  encoder out;
  out.string(text);
  value v;
  v.type_ = v.element_ = value_type::string;
  v.bytes_ = std::move(out.bytes);
  return v;
}

value value::of_strings(std::span<const std::string> items) {
  encoder out = array_header(value_type::string, items.size());
  value v;
  v.type_ = value_type::array;
  v.element_ = value_type::string;
  v.starts_.reserve(items.size());
  for (const std::string& item : items) {
    v.starts_.push_back(out.bytes.size());
    out.string(item);
  }
  v.bytes_ = std::move(out.bytes);
  return v;
}

value_type value::type() const noexcept { return type_; }
value_type value::element_type() const noexcept { return element_; }

std::size_t value::size() const noexcept {
  if (type_ != value_type::array) return 1;
  return static_cast<std::size_t>(load<std::uint64_t>(bytes_.data() + sizeof(std::uint32_t)));
}

const std::byte* value::element(std::size_t i) const noexcept {
  if (bytes_.empty() || i >= size()) return nullptr;
  if (type_ != value_type::array) return bytes_.data();
  if (element_ == value_type::string) return bytes_.data() + starts_[i];
  return bytes_.data() + array_prefix + i * value_bytes(element_);
}

std::optional<std::int64_t> value::as_int(std::size_t i) const noexcept {
  const std::byte* from = element(i);
  return from ? integer<std::int64_t>(element_, from) : std::nullopt;
}

std::optional<std::uint64_t> value::as_uint(std::size_t i) const noexcept {
  const std::byte* from = element(i);
  return from ? integer<std::uint64_t>(element_, from) : std::nullopt;
}

std::optional<double> value::as_float(std::size_t i) const noexcept {
  const std::byte* from = element(i);
  if (!from) return std::nullopt;
  return visit_number(element_, from, [](auto... x) -> std::optional<double> {
    if constexpr (sizeof...(x) == 1 && !(... && std::is_same_v<decltype(x), bool>))
      return static_cast<double>((x, ...));
    return std::nullopt;
  });
}

std::optional<bool> value::as_bool(std::size_t i) const noexcept {
  const std::byte* from = element(i);
  if (!from || element_ != value_type::boolean) return std::nullopt;
  return load<std::uint8_t>(from) != 0;
}

std::optional<std::string_view> value::as_string(std::size_t i) const noexcept {
  const std::byte* from = element(i);
  if (!from || element_ != value_type::string) return std::nullopt;
  return std::string_view(reinterpret_cast<const char*>(from + sizeof(std::uint64_t)),
                          static_cast<std::size_t>(load<std::uint64_t>(from)));
}

std::span<const std::byte> value::encoding() const noexcept { return bytes_; }

}  // namespace bq::gguf
