// Binary files that programs read from front to back, little endian. Files are hostile: every length is checked against
// what is left of the file before anything is allocated or skipped.
#pragma once
#include <blockquant/error.hpp>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <span>
#include <string>

namespace bq_program {

class file_reader {
 public:
  // `role` is what messages call the file: "the importance matrix". Throws errc::not_a_file, errc::io.
  file_reader(const std::string& path, std::string role);

  const std::string& path() const { return path_; }
  std::uint64_t size() const { return size_; }
  std::uint64_t position() const { return position_; }
  std::uint64_t left() const { return size_ - position_; }

  // `what` names the thing that is read, for messages. Throw errc::truncated, errc::io, errc::bad_count where a count
  // of things of `each` bytes is more than the file can hold.
  template <class Number>
  Number number(const char* what) {
    Number n{};
    read(std::as_writable_bytes(std::span(&n, 1)), what);
    return n;
  }
  std::uint64_t bytes_of(std::int64_t count, std::uint64_t each, const char* what) const;
  std::string text(std::int64_t bytes, const char* what);
  void read(std::span<std::byte> out, const char* what);
  void skip(std::uint64_t bytes, const char* what);
  void seek(std::uint64_t position);  // at most size()

  // Throws an error about this place in the file.
  [[noreturn]] void bad(bq::errc code, std::string message, std::string expected = {}, std::string found = {}) const;

 private:
  [[noreturn]] void fail_to_read() const;

  const std::string path_, role_;
  std::ifstream file_;
  std::uint64_t size_ = 0, position_ = 0;
};

}  // namespace bq_program
