// A file that appears under its name only when it is complete. Until publish() it has no name at all (O_TMPFILE), so
// that whatever ends the process leaves nothing behind; on file systems without nameless files it has a temporary name
// beside the final one, which the destructor removes.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace bq {

class output_file {
 public:
  // Reserves `bytes` zeros on the disk. Throws errc::disk_full, errc::io, errc::file_exists (when `overwrite` is
  // false), errc::not_a_file (the name belongs to something that is no regular file).
  output_file(std::string path, std::uint64_t bytes, bool overwrite);
  output_file(output_file&& other) noexcept;
  output_file& operator=(output_file&&) = delete;
  ~output_file();

  const std::string& path() const noexcept { return path_; }

  // Thread safe. Throws errc::disk_full, errc::io.
  void write(std::uint64_t offset, std::span<const std::byte> data);
  // Waits until the bytes are on the disk. Throws errc::disk_full, errc::io.
  void sync();
  // Gives the file its name, replacing a file of that name when `overwrite` allows it. Throws errc::file_exists,
  // errc::io.
  void publish();
  // All of that, and makes the name durable. Throws as they do.
  void commit();
  // Takes the name back, unless it was another file's before.
  void withdraw() noexcept;

 private:
  void create();
  void reserve(std::uint64_t bytes);
  std::string temporary_name() const;
  // link(2) from the open file to `name`; errno, or 0.
  int link_to(const std::string& name) const;
  int publish_nameless();
  int publish_named();

  std::string path_;
  bool overwrite_;
  bool replaced_ = false, published_ = false;
  int descriptor_ = -1;
  std::string temporary_;  // empty while the file has no name
};

// Writes a whole file: it appears complete and durable under its name, replacing what was there, or not at all. Throws
// as the members of output_file.
void write_file(const std::string& path, std::span<const std::byte> bytes);

}  // namespace bq
