// Failed system calls as bq::error: the path, where in the file, how many bytes, and the system's own words.
#pragma once
#include <cerrno>
#include <cstdint>
#include <optional>
#include <string>
#include <system_error>

#include "blockquant/error.hpp"

namespace bq::gguf {

// `what` completes the sentence "FILE ..."; `number` is errno; `bytes` is how many the call was asked to move.
inline error system_error(std::string what, const std::string& path, int number,
                          std::optional<std::uint64_t> offset = {}, std::optional<std::uint64_t> bytes = {}) {
  const bool full = number == ENOSPC || number == EDQUOT || number == EFBIG;
  if (bytes) what += " (" + std::to_string(*bytes) + " bytes)";
  return error({.code = full ? errc::disk_full : errc::io,
                .message = std::move(what),
                .file = path,
                .offset = offset,
                .found = std::generic_category().message(number),
                .advice = full ? "free some space, or write to another disk" : ""});
}

}  // namespace bq::gguf
