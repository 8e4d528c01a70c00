// Bytes of a little-endian GGUF header, appended one field after another.
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace bq::gguf {

struct encoder {
  std::vector<std::byte> bytes;

  void raw(std::span<const std::byte> data) { bytes.insert(bytes.end(), data.begin(), data.end()); }
  template <class T>
  void number(T x) {
    raw(std::as_bytes(std::span(&x, 1)));
  }
  void string(std::string_view text) {
    number(static_cast<std::uint64_t>(text.size()));
    raw(std::as_bytes(std::span(text)));
  }
};

}  // namespace bq::gguf
