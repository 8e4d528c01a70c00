// Which bytes of a tensor have been written: disjoint ranges, merged where they touch.
#pragma once
#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>

namespace bq::gguf {

class coverage {
 public:
  void add(std::uint64_t first, std::uint64_t end) {
    if (first == end) return;
    auto it = ranges_.upper_bound(first);
    if (it != ranges_.begin() && std::prev(it)->second >= first) --it;
    while (it != ranges_.end() && it->first <= end) {
      first = std::min(first, it->first);
      end = std::max(end, it->second);
      it = ranges_.erase(it);
    }
    ranges_.emplace(first, end);
  }

  // The first byte of [0, size) that has not been written; `size` when all have.
  std::uint64_t first_gap(std::uint64_t size) const {
    if (ranges_.empty() || ranges_.begin()->first != 0) return 0;
    return std::min(ranges_.begin()->second, size);
  }

 private:
  std::map<std::uint64_t, std::uint64_t> ranges_;  // start to end
};

}  // namespace bq::gguf
