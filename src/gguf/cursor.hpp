// A position in a file's header: reads numbers in the file's byte order through a small window, and never past the end
// of what may be header. Every failure names the file, the key or tensor being read, and the byte.
#pragma once
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "blockquant/error.hpp"
#include "byte_order.hpp"
#include "input_file.hpp"

namespace bq::gguf {

class cursor {
 public:
  // `max_bytes` bounds the header: what lies beyond it is not read.
  cursor(const input_file& file, std::uint64_t max_bytes);

  bool big_endian = false;
  std::string subject;  // of errors: the key or tensor that is being read

  std::uint64_t position() const noexcept { return position_; }
  std::uint64_t remaining() const noexcept { return end_ - position_; }
  void seek(std::uint64_t position) noexcept { position_ = position; }

  // `what` names the field in messages. All throw errc::truncated at the end.
  template <class T>
  requires std::integral<T> || std::floating_point<T> T number(std::string_view what) {
    const std::span<const std::byte> bytes = view(sizeof(T), what);
    return load<T>(bytes.data(), big_endian);
  }
  void copy(std::span<std::byte> out, std::string_view what);
  void skip(std::uint64_t bytes, std::string_view what);

  // Length of a string, at most `max`. Throws errc::bad_string at the length's own offset.
  std::uint64_t string_length(std::uint64_t max, std::string_view what);

  // An error of this file and subject; fields left empty are filled in.
  [[noreturn]] void fail(error_info info) const;

 private:
  // The next bytes, at most the window's size, and moves past them.
  std::span<const std::byte> view(std::size_t bytes, std::string_view what);
  void require(std::uint64_t bytes, std::string_view what) const;

  const input_file& file_;
  std::uint64_t end_;
  std::uint64_t position_ = 0;
  std::vector<std::byte> window_;
  std::uint64_t window_start_ = 0;
};

}  // namespace bq::gguf
