// Two hash tables that loading and encoding spend their time in: token texts to ids, and pairs of ids to a number. Open
// addressing, at most half full, no deletion. The seed is drawn anew for each table, so that no file can be made whose
// keys all collide.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "tokenizer/text_list.hpp"

namespace bq_llm {

// Texts are the caller's: `texts` must stay where it is while the table is in use.
class text_table {
 public:
  text_table() = default;
  explicit text_table(const text_list& texts);  // ids are the places in `texts`

  std::optional<int> find(std::string_view text) const;
  // Two places that hold one text, if there are any; the table then finds the first.
  std::optional<std::pair<int, int>> duplicate() const { return duplicate_; }

 private:
  struct entry {
    std::uint32_t tag;  // of the hash: spares most looks at other texts
    int id;             // -1: empty
  };
  std::uint64_t hash(std::string_view text) const;
  std::size_t slot(std::string_view text, std::uint64_t hash) const;  // where it is or would be

  const text_list* texts_ = nullptr;
  std::uint64_t seed_ = 0;
  std::vector<entry> entries_;  // a power of two of them
  std::optional<std::pair<int, int>> duplicate_;
};

class pair_table {
 public:
  pair_table() = default;
  explicit pair_table(std::size_t capacity);  // pairs to be inserted at most

  // False when the pair is there already, whose number then stays.
  bool insert(int first, int second, int number);
  std::optional<int> find(int first, int second) const;

 private:
  struct entry {
    std::uint64_t key;
    int number;  // -1: empty
  };
  std::size_t slot(std::uint64_t key) const;

  std::uint64_t seed_ = 0;
  std::vector<entry> entries_;
};

}  // namespace bq_llm
