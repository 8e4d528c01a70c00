// Key-value pairs: a vector in file order, and its indices in the order of the keys.
#include <algorithm>
#include <utility>

#include "blockquant/gguf.hpp"

namespace bq::gguf {

namespace {

// Position in `order` of the first key that is not less than `key`.
auto lower_bound(const auto& order, const std::vector<metadata::entry>& entries, std::string_view key) {
  return std::ranges::lower_bound(order, key, std::ranges::less{},
                                  [&](std::uint32_t i) -> std::string_view { return entries[i].key; });
}

template <class T>
T required(const value* v, std::string_view key, const char* expected, std::optional<T> (*convert)(const value&)) {
  if (!v) {
    throw error({.code = errc::missing_key,
                 .message = "the metadata lacks this key",
                 .subject = std::string(key),
                 .expected = expected});
  }
  if (v->type() != value_type::array) {
    if (const std::optional<T> x = convert(*v)) return *x;
  }
  throw error({.code = errc::wrong_value_type,
               .message = "the key's value cannot be used",
               .subject = std::string(key),
               .expected = expected,
               .found = std::string(name(v->type()))});
}

}  // namespace

std::span<const metadata::entry> metadata::entries() const noexcept { return entries_; }

const value* metadata::find(std::string_view key) const noexcept {
  const auto it = lower_bound(order_, entries_, key);
  return it != order_.end() && entries_[*it].key == key ? &entries_[*it].value : nullptr;
}

void metadata::set(std::string_view key, gguf::value v) {
  const auto it = lower_bound(order_, entries_, key);
  if (it != order_.end() && entries_[*it].key == key) {
    entries_[*it].value = std::move(v);
    return;
  }
  const auto index = static_cast<std::uint32_t>(entries_.size());
  const auto where = it - order_.begin();
  entries_.push_back({std::string(key), std::move(v)});
  order_.insert(order_.begin() + where, index);
}

bool metadata::erase(std::string_view key) {
  const auto it = lower_bound(order_, entries_, key);
  if (it == order_.end() || entries_[*it].key != key) return false;
  const std::uint32_t index = *it;
  entries_.erase(entries_.begin() + index);
  order_.erase(it);
  for (std::uint32_t& i : order_) i -= i > index;
  return true;
}

std::uint64_t metadata::require_uint(std::string_view key) const {
  return required<std::uint64_t>(find(key), key, "an integer >= 0", [](const value& v) { return v.as_uint(); });
}

std::string_view metadata::require_string(std::string_view key) const {
  return required<std::string_view>(find(key), key, "a string", [](const value& v) { return v.as_string(); });
}

double metadata::require_float(std::string_view key) const {
  return required<double>(find(key), key, "a number", [](const value& v) { return v.as_float(); });
}

}  // namespace bq::gguf
