#include "progress.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>

namespace bq_program {

namespace {

constexpr double redraw_interval = 0.1;  // seconds

std::size_t terminal_columns() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
}

}  // namespace

progress::progress(std::uint64_t total, std::size_t items, progress_style style, unit* named)
    : total_(std::max<std::uint64_t>(total, 1)),
      items_(items),
      named_(named),
      terminal_(isatty(STDERR_FILENO) == 1),
      quiet_(style == progress_style::quiet),
      start_(std::chrono::steady_clock::now()) {}

progress::~progress() {
  if (terminal_ && !quiet_ && drawn_at_ >= 0) std::fputs("\r\033[K", stderr);
}

double progress::seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

void progress::advance(std::uint64_t amount) {
  done_ += amount;
  if (terminal_ && !quiet_ && seconds() - drawn_at_ >= redraw_interval) redraw(item_);
}

void progress::finish_item(std::string_view description) {
  ++finished_;
  item_ = description;
  if (quiet_) return;
  if (terminal_) return advance(0);
  fmt::print(stderr, "[{:>{}}/{}] {}\n", finished_, fmt::formatted_size("{}", items_), items_, description);
}

void progress::redraw(std::string_view item) {
  drawn_at_ = seconds();
  const double rate = static_cast<double>(done_) / std::max(drawn_at_, 1e-9);
  const double left = rate > 0 ? static_cast<double>(total_ - std::min(done_, total_)) / rate : 0;
  auto line = fmt::format("{:5.1f} %  {}/s  {} left  [{}/{}] {}",
                          100.0 * static_cast<double>(done_) / static_cast<double>(total_),
                          named_(static_cast<std::uint64_t>(rate)), human_seconds(left), finished_, items_, item);
  line.resize(std::min(line.size(), terminal_columns() - 1));
  fmt::print(stderr, "\r\033[K{}", line);
  std::fflush(stderr);
}

std::string human_bytes(std::uint64_t bytes) {
  static constexpr std::array units{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < units.size(); value /= 1024) ++unit;
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.{}f} {}", value, value < 10 ? 2 : 1, units[unit]);
}

std::string human_tokens(std::uint64_t tokens) {
  return tokens < 10000 ? fmt::format("{} tokens", tokens)
                        : fmt::format("{:.1f}k tokens", static_cast<double>(tokens) / 1000);
}

std::string human_seconds(double seconds) {
  const auto s = static_cast<std::int64_t>(seconds + 0.5);
  if (s < 60) return fmt::format("{} s", s);
  if (s < 3600) return fmt::format("{} min {:02} s", s / 60, s % 60);
  return fmt::format("{} h {:02} min", s / 3600, s / 60 % 60);
}

}  // namespace bq_program
