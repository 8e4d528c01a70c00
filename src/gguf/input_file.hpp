// A regular file open for reading at explicit offsets. Reads are complete or throw; nothing is mapped unless asked for.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace bq::gguf {

class input_file {
 public:
  // Throws errc::not_a_file for directories, FIFOs, sockets and devices (without blocking on them), else errc::io.
  explicit input_file(std::string path);
  input_file(input_file&& other) noexcept;
  input_file& operator=(input_file&& other) noexcept;
  ~input_file();

  const std::string& path() const noexcept { return path_; }
  std::uint64_t size() const noexcept { return size_; }  // bytes, when it was opened

  // Fills `out` from byte `offset`. Thread safe. Throws errc::io, and errc::file_changed when the file has become
  // shorter.
  void read(std::uint64_t offset, std::span<std::byte> out) const;

  // The whole file, read-only. Throws errc::io, errc::file_changed. Empty files give an empty span. Unmapped by the
  // destructor; not thread safe.
  std::span<const std::byte> map() const;

 private:
  void close() noexcept;

  std::string path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
  mutable void* mapping_ = nullptr;
};

}  // namespace bq::gguf
