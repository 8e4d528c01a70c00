// Many short texts, one behind the other in memory.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace bq_llm {

class text_list {
 public:
  void reserve(std::size_t texts, std::size_t bytes) {
    starts_.reserve(texts + 1);
    bytes_.reserve(bytes);
  }
  std::size_t size() const { return starts_.size() - 1; }
  std::string_view operator[](std::size_t i) const { return {bytes_.data() + starts_[i], starts_[i + 1] - starts_[i]}; }

  // The next text is what is appended to this until end_text().
  std::string& tail() { return bytes_; }
  void end_text() { starts_.push_back(bytes_.size()); }

 private:
  std::string bytes_;
  std::vector<std::size_t> starts_ = {0};  // and where the next one will start
};

}  // namespace bq_llm
