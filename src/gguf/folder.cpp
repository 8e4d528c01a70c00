#include "folder.hpp"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "src/checked.hpp"
#include "system_error.hpp"

namespace bq::gguf {

std::string folder_of(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

void require_free_space(const std::string& folder, std::uint64_t bytes) {
  struct statvfs s {};
  if (statvfs(folder.c_str(), &s) != 0) throw system_error("the output folder cannot be used", folder, errno);
  const auto free = (checked(s.f_bavail) * s.f_frsize).at_most();
  if (s.f_blocks == 0 || !free || *free >= bytes) return;
  throw error({.code = errc::disk_full,
               .message = "not enough free space",
               .file = folder,
               .expected = std::to_string(bytes) + " bytes",
               .found = std::to_string(*free),
               .advice = "free some space, or write to another disk"});
}

void sync_folder(const std::string& folder) {
  const int descriptor = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) throw system_error("the output folder cannot be opened", folder, errno);
  const int failure = fsync(descriptor) == 0 ? 0 : errno;
  close(descriptor);
  // Some file systems have no such operation on folders.
  if (failure != 0 && failure != EINVAL && failure != EROFS) {
    throw system_error("the output folder cannot be synchronised", folder, failure);
  }
}

}  // namespace bq::gguf
