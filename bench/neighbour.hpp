// A busy neighbour: another process that keeps one processor to itself as far as the system lets it, from construction
// to destruction. Linux only; elsewhere the constructor throws bq::error (invalid_argument).
#pragma once

namespace bq_bench {

class neighbour {
 public:
  neighbour();  // on the last processor that this process may use
  ~neighbour();
  neighbour(const neighbour&) = delete;
  neighbour& operator=(const neighbour&) = delete;

 private:
  int process_ = -1;
};

}  // namespace bq_bench
