// Ctrl-C as something that loops look at: what runs then ends as if it were done, and prints what it has. A second one
// before that kills the program, as it would have without this.
#pragma once

namespace bq_run {

// At most one at a time. System calls that wait for input end when it comes.
class interrupt {
 public:
  interrupt();
  ~interrupt();
  interrupt(const interrupt&) = delete;
  interrupt& operator=(const interrupt&) = delete;

  bool requested() const noexcept;
  void clear();  // waits for the next
};

constexpr int interrupted_exit_code = 130;  // what a shell reports for programs that Ctrl-C killed

}  // namespace bq_run
