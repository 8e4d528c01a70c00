// Reading files through the system: open, pread, mmap, and what their failures mean.
#include "input_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "blockquant/error.hpp"
#include "system_error.hpp"

namespace bq::gguf {

namespace {

void require_regular(const std::string& path, mode_t mode) {
  if (S_ISREG(mode)) return;
  const char* kind = S_ISDIR(mode)    ? "a directory"
                     : S_ISFIFO(mode) ? "a FIFO"
                     : S_ISSOCK(mode) ? "a socket"
                                      : "a device";
  throw error({.code = errc::not_a_file,
               .message = "cannot be read as a model",
               .file = path,
               .expected = "a regular file",
               .found = kind});
}

[[noreturn]] void fail_changed(const std::string& path, std::uint64_t offset, std::uint64_t size) {
  throw error({.code = errc::file_changed,
               .message = "the file became shorter while it was in use",
               .file = path,
               .offset = offset,
               .expected = std::to_string(size) + " bytes, as when it was opened",
               .advice = "make sure that nothing else writes this file"});
}

}  // namespace

input_file::input_file(std::string path) : path_(std::move(path)) {
  // Opening a device can have effects, and opening a socket gives a misleading error: ask first, and again once open.
  struct stat before {
  }, opened{};
  if (stat(path_.c_str(), &before) != 0) throw system_error("cannot be opened", path_, errno);
  require_regular(path_, before.st_mode);
  descriptor_ = open(path_.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (descriptor_ < 0) throw system_error("cannot be opened", path_, errno);
  try {
    if (fstat(descriptor_, &opened) != 0) throw system_error("cannot be examined", path_, errno);
    require_regular(path_, opened.st_mode);
  } catch (...) {
    close();
    throw;
  }
  size_ = static_cast<std::uint64_t>(opened.st_size);
}

input_file::input_file(input_file&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      size_(other.size_),
      mapping_(std::exchange(other.mapping_, nullptr)) {}

input_file& input_file::operator=(input_file&& other) noexcept {
  if (this != &other) {
    close();
    path_ = std::move(other.path_);
    descriptor_ = std::exchange(other.descriptor_, -1);
    size_ = other.size_;
    mapping_ = std::exchange(other.mapping_, nullptr);
  }
  return *this;
}

input_file::~input_file() { close(); }

void input_file::close() noexcept {
  if (mapping_) munmap(mapping_, size_);
  if (descriptor_ >= 0) ::close(descriptor_);
  mapping_ = nullptr;
  descriptor_ = -1;
}

void input_file::read(std::uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t n = pread(descriptor_, out.data(), out.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw system_error("cannot be read", path_, errno, offset, out.size());
    if (n == 0) fail_changed(path_, offset, size_);
    offset += static_cast<std::uint64_t>(n);
    out = out.subspan(static_cast<std::size_t>(n));
  }
}

std::span<const std::byte> input_file::map() const {
  if (size_ == 0) return {};
  if (!mapping_) {
    struct stat now {};
    if (fstat(descriptor_, &now) != 0) throw system_error("cannot be examined", path_, errno);
    if (static_cast<std::uint64_t>(now.st_size) < size_) {
      fail_changed(path_, static_cast<std::uint64_t>(now.st_size), size_);
    }
    void* address = mmap(nullptr, size_, PROT_READ, MAP_SHARED, descriptor_, 0);
    if (address == MAP_FAILED) throw system_error("cannot be mapped into memory", path_, errno, 0, size_);
    mapping_ = address;
  }
  return {static_cast<const std::byte*>(mapping_), static_cast<std::size_t>(size_)};
}

}  // namespace bq::gguf
