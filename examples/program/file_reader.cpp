#include "file_reader.hpp"

#include <cerrno>
#include <filesystem>
#include <system_error>

namespace bq_program {

file_reader::file_reader(const std::string& path, std::string role) : path_(path), role_(std::move(role)) {
  std::error_code failure;
  const auto status = std::filesystem::status(path, failure);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    throw bq::error({.code = bq::errc::not_a_file, .message = role_ + ": not a regular file", .file = path});
  }
  file_.open(path, std::ios::binary);
  if (!file_) fail_to_read();
  size_ = std::filesystem::file_size(path);
}

std::uint64_t file_reader::bytes_of(std::int64_t count, std::uint64_t each, const char* what) const {
  if (count < 0 || static_cast<std::uint64_t>(count) > left() / each) {
    bad(bq::errc::bad_count, std::string("a length that the file cannot hold: ") + what,
        "at most " + std::to_string(left() / each), std::to_string(count));
  }
  return static_cast<std::uint64_t>(count) * each;
}

std::string file_reader::text(std::int64_t bytes, const char* what) {
  std::string s(bytes_of(bytes, 1, what), '\0');
  read(std::as_writable_bytes(std::span(s)), what);
  return s;
}

void file_reader::read(std::span<std::byte> out, const char* what) {
  if (left() < out.size()) bad(bq::errc::truncated, std::string("the file ends before ") + what);
  if (!file_.read(reinterpret_cast<char*>(out.data()), static_cast<std::streamsize>(out.size()))) fail_to_read();
  position_ += out.size();
}

void file_reader::skip(std::uint64_t bytes, const char* what) {
  if (left() < bytes) bad(bq::errc::truncated, std::string("the file ends before ") + what);
  seek(position_ + bytes);
}

void file_reader::seek(std::uint64_t position) {
  position_ = position;
  file_.seekg(static_cast<std::streamoff>(position));
}

void file_reader::bad(bq::errc code, std::string message, std::string expected, std::string found) const {
  throw bq::error({.code = code,
                   .message = role_ + ": " + message,
                   .file = path_,
                   .offset = position_,
                   .expected = std::move(expected),
                   .found = std::move(found)});
}

void file_reader::fail_to_read() const {
  throw bq::error({.code = bq::errc::io,
                   .message = role_ + " cannot be read",
                   .file = path_,
                   .found = std::generic_category().message(errno)});
}

}  // namespace bq_program
