// Progress of a long job on standard error: on a terminal one line that is redrawn (share, rate, time left), elsewhere
// one plain line per finished item, so that logs stay readable.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace bq_program {

// "12.3 MiB", "4.50 GiB"; bytes in binary units.
std::string human_bytes(std::uint64_t bytes);
// "812 tokens", "12.3k tokens".
std::string human_tokens(std::uint64_t tokens);
// "42 s", "3 min 05 s", "2 h 10 min".
std::string human_seconds(double seconds);

enum class progress_style { automatic, quiet };

class progress {
 public:
  using unit = std::string(std::uint64_t amount);
  // `total` amount of work, which `named` puts into words; `items` things that are finished one after the other.
  progress(std::uint64_t total, std::size_t items, progress_style style, unit* named = human_bytes);
  ~progress();
  progress(const progress&) = delete;
  progress& operator=(const progress&) = delete;

  void advance(std::uint64_t amount);              // part of the current item is done
  void finish_item(std::string_view description);  // the current item is done

 private:
  void redraw(std::string_view item);
  double seconds() const;

  const std::uint64_t total_;
  const std::size_t items_;
  unit* const named_;
  std::uint64_t done_ = 0;
  std::size_t finished_ = 0;
  bool terminal_ = false, quiet_ = false;
  double drawn_at_ = -1;
  std::string item_;
  const std::chrono::steady_clock::time_point start_;
};

}  // namespace bq_program
