// Atomic files with the system's calls: O_TMPFILE, fallocate, fsync, linkat, renameat2.
#include "blockquant/output_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "gguf/folder.hpp"
#include "gguf/system_error.hpp"

namespace bq {

using gguf::folder_of, gguf::system_error;

namespace {

constexpr mode_t file_mode = 0666;  // less the umask

std::string descriptor_path(int descriptor) { return "/proc/self/fd/" + std::to_string(descriptor); }

// Refuses names that cannot be (or may not be) replaced by a file.
void check_target(const std::string& path, bool overwrite) {
  struct stat s {};
  if (stat(path.c_str(), &s) != 0) return;
  if (!S_ISREG(s.st_mode)) {
    throw error({.code = errc::not_a_file,
                 .message = "cannot be replaced by a file",
                 .file = path,
                 .expected = "a new name, or a regular file",
                 .found = S_ISDIR(s.st_mode) ? "a directory" : "a device, FIFO or socket"});
  }
  if (!overwrite) throw error({.code = errc::file_exists, .message = "the file exists already", .file = path});
}

}  // namespace

output_file::output_file(std::string path, std::uint64_t bytes, bool overwrite)
    : path_(std::move(path)), overwrite_(overwrite) {
  check_target(path_, overwrite_);
  create();
  try {
    reserve(bytes);
  } catch (...) {
    withdraw();
    close(descriptor_);
    throw;
  }
}

output_file::output_file(output_file&& other) noexcept
    : path_(std::move(other.path_)),
      overwrite_(other.overwrite_),
      replaced_(other.replaced_),
      published_(other.published_),
      descriptor_(std::exchange(other.descriptor_, -1)),
      temporary_(std::exchange(other.temporary_, {})) {}

output_file::~output_file() {
  if (!temporary_.empty()) unlink(temporary_.c_str());
  if (descriptor_ >= 0) close(descriptor_);
}

void output_file::create() {
  const std::string folder = folder_of(path_);
  descriptor_ = open(folder.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, file_mode);
  if (descriptor_ >= 0) {
    // Without /proc the file could never be given a name.
    if (access(descriptor_path(descriptor_).c_str(), F_OK) == 0) return;
    close(descriptor_);
  } else if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL) {
    throw system_error("cannot be created", path_, errno);
  }
  do {
    temporary_ = temporary_name();
    descriptor_ = open(temporary_.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, file_mode);
  } while (descriptor_ < 0 && errno == EEXIST);
  if (descriptor_ < 0) {
    const int failure = errno;
    temporary_.clear();
    throw system_error("cannot be created", path_, failure);
  }
}

void output_file::reserve(std::uint64_t bytes) {
  if (bytes == 0) return;
  int failure;
  do failure = fallocate(descriptor_, 0, 0, static_cast<off_t>(bytes)) == 0 ? 0 : errno;
  while (failure == EINTR);
  if (failure == EOPNOTSUPP || failure == ENOSYS) {
    failure = ftruncate(descriptor_, static_cast<off_t>(bytes)) == 0 ? 0 : errno;
  }
  if (failure != 0) throw system_error("space cannot be reserved", path_, failure, 0, bytes);
}

void output_file::write(std::uint64_t offset, std::span<const std::byte> data) {
  while (!data.empty()) {
    const ssize_t n = pwrite(descriptor_, data.data(), data.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw system_error("cannot be written", path_, errno, offset, data.size());
    offset += static_cast<std::uint64_t>(n);
    data = data.subspan(static_cast<std::size_t>(n));
  }
}

void output_file::sync() {
  if (fsync(descriptor_) != 0) throw system_error("cannot be written to the disk", path_, errno);
}

// A free name at this moment; who takes it must expect to lose a race for it.
std::string output_file::temporary_name() const {
  for (unsigned i = 0;; ++i) {
    std::string name =
        folder_of(path_) + "/.blockquant-" + std::to_string(getpid()) + "-" + std::to_string(i) + ".part";
    if (faccessat(AT_FDCWD, name.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) != 0) return name;
  }
}

int output_file::link_to(const std::string& name) const {
  const std::string from = temporary_.empty() ? descriptor_path(descriptor_) : temporary_;
  return linkat(AT_FDCWD, from.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) == 0 ? 0 : errno;
}

int output_file::publish_nameless() {
  int failure = link_to(path_);
  if (failure != EEXIST || !overwrite_) return failure;
  // Replacing takes a second name, for the moment between these two calls.
  std::string name;
  do {
    name = temporary_name();
    failure = link_to(name);
  } while (failure == EEXIST);
  if (failure != 0) return failure;
  temporary_ = name;
  replaced_ = true;
  return publish_named();
}

int output_file::publish_named() {
  int failure;
  if (overwrite_) {
    failure = rename(temporary_.c_str(), path_.c_str()) == 0 ? 0 : errno;
  } else {
    failure = renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, path_.c_str(), RENAME_NOREPLACE) == 0 ? 0 : errno;
    if (failure == EINVAL || failure == ENOSYS) {
      failure = link_to(path_);
      if (failure == 0) unlink(temporary_.c_str());
    }
  }
  if (failure == 0) temporary_.clear();
  return failure;
}

void output_file::publish() {
  check_target(path_, overwrite_);
  if (!temporary_.empty()) replaced_ = access(path_.c_str(), F_OK) == 0;
  const int failure = temporary_.empty() ? publish_nameless() : publish_named();
  if (failure == EEXIST) throw error({.code = errc::file_exists, .message = "the file exists already", .file = path_});
  if (failure != 0) throw system_error("cannot be given its name", path_, failure);
  published_ = true;
}

void output_file::commit() {
  sync();
  publish();
  gguf::sync_folder(folder_of(path_));
}

void output_file::withdraw() noexcept {
  if (published_ && !replaced_) unlink(path_.c_str());
  published_ = false;
  if (!temporary_.empty()) unlink(temporary_.c_str());
  temporary_.clear();
}

void write_file(const std::string& path, std::span<const std::byte> bytes) {
  output_file file(path, bytes.size(), true);
  file.write(0, bytes);
  file.commit();
}

}  // namespace bq
