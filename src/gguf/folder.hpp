// Folders that files are written to.
#pragma once
#include <cstdint>
#include <string>

namespace bq::gguf {

// The folder a path lies in; "." for a bare name.
std::string folder_of(const std::string& path);

// Throws errc::disk_full when the file system that holds `folder` has fewer free bytes, errc::io when the folder cannot
// be examined.
void require_free_space(const std::string& folder, std::uint64_t bytes);

// Makes the names in `folder` durable. Throws errc::io.
void sync_folder(const std::string& folder);

}  // namespace bq::gguf
