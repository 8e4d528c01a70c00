// The window behind the header's cursor, and its failures.
#include "cursor.hpp"

#include <algorithm>
#include <utility>

namespace bq::gguf {

namespace {
constexpr std::size_t window_bytes = 1 << 16;
}

cursor::cursor(const input_file& file, std::uint64_t max_bytes) : file_(file), end_(std::min(file.size(), max_bytes)) {}

void cursor::fail(error_info info) const {
  if (info.file.empty()) info.file = file_.path();
  if (info.subject.empty()) info.subject = subject;
  throw error(std::move(info));
}

void cursor::require(std::uint64_t bytes, std::string_view what) const {
  if (bytes <= remaining()) return;
  const bool limited = end_ < file_.size();
  fail({.code = errc::truncated,
        .message =
            std::string(limited ? "the header exceeds its limit within " : "the file ends within ") + std::string(what),
        .offset = position_,
        .expected = std::to_string(bytes) + " more bytes",
        .found = std::to_string(remaining()),
        .advice = limited ? "" : "the file is incomplete: copy or download it again"});
}

std::span<const std::byte> cursor::view(std::size_t bytes, std::string_view what) {
  require(bytes, what);
  const bool inside = position_ >= window_start_ && position_ - window_start_ <= window_.size() &&
                      window_.size() - (position_ - window_start_) >= bytes;
  if (!inside) {
    window_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(window_bytes, remaining())));
    window_start_ = position_;
    file_.read(position_, window_);
  }
  const auto at = static_cast<std::size_t>(position_ - window_start_);
  position_ += bytes;
  return std::span<const std::byte>(window_).subspan(at, bytes);
}

void cursor::copy(std::span<std::byte> out, std::string_view what) {
  require(out.size(), what);
  if (out.size() <= window_bytes) {
    std::ranges::copy(view(out.size(), what), out.begin());
  } else {
    file_.read(position_, out);
    position_ += out.size();
  }
}

void cursor::skip(std::uint64_t bytes, std::string_view what) {
  require(bytes, what);
  position_ += bytes;
}

std::uint64_t cursor::string_length(std::uint64_t max, std::string_view what) {
  const std::uint64_t start = position_;
  const auto length = number<std::uint64_t>("a string's length");
  if (length > remaining() || length > max) {
    const bool beyond = length > remaining();
    fail(
        {.code = errc::bad_string,
         .message = std::string(what) + (beyond ? " is longer than the rest of the file" : " is longer than the limit"),
         .offset = start,
         .expected = "at most " + std::to_string(beyond ? remaining() : max) + " bytes",
         .found = std::to_string(length),
         .advice = beyond ? "the file is damaged or incomplete: copy or download it again" : ""});
  }
  return length;
}

}  // namespace bq::gguf
