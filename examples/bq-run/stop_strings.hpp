// Finds the texts that end a generation while it streams: what may be the beginning of one is held back until it is
// known whether it is.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace bq_run {

class stop_strings {
 public:
  // Throws errc::invalid_argument for an empty text.
  explicit stop_strings(std::vector<std::string> texts);

  // What can be shown: all that push and finish return adds up to the text before the first stop string.
  std::string push(std::string_view text);
  std::string finish();
  bool found() const { return found_; }

 private:
  std::vector<std::string> texts_;
  std::string held_;
  bool found_ = false;
};

}  // namespace bq_run
