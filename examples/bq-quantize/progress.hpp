// Progress of a long job on standard error: on a terminal one line that is redrawn (share, rate, time left), elsewhere
// one plain line per finished item, so that logs stay readable.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace bq_quantize {

enum class progress_style { automatic, quiet };

class progress {
 public:
  // `total` bytes of work; `items` things that are finished one after the other.
  progress(std::uint64_t total, std::size_t items, progress_style style);
  ~progress();
  progress(const progress&) = delete;
  progress& operator=(const progress&) = delete;

  void advance(std::uint64_t bytes);               // part of the current item is done
  void finish_item(std::string_view description);  // the current item is done

 private:
  void redraw(std::string_view item);
  double seconds() const;

  const std::uint64_t total_;
  const std::size_t items_;
  std::uint64_t done_ = 0;
  std::size_t finished_ = 0;
  bool terminal_ = false, quiet_ = false;
  double drawn_at_ = -1;
  std::string item_;
  const std::chrono::steady_clock::time_point start_;
};

// "12.3 MiB", "4.50 GiB"; bytes in binary units.
std::string human_bytes(std::uint64_t bytes);
// "42 s", "3 min 05 s", "2 h 10 min".
std::string human_seconds(double seconds);

}  // namespace bq_quantize
