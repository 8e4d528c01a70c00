#include "tokenizer/hash_tables.hpp"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <bit>
#include <random>

namespace bq_llm {
namespace {

std::uint64_t new_seed() {
  std::random_device source;
  return std::uint64_t{source()} << 32 | source();
}

std::size_t slots(std::size_t keys) { return std::bit_ceil(std::max<std::size_t>(2 * keys, 2)); }

std::uint32_t tag_of(std::uint64_t hash) { return static_cast<std::uint32_t>(hash >> 32); }

std::uint64_t key_of(int first, int second) {
  return std::uint64_t{static_cast<std::uint32_t>(first)} << 32 | static_cast<std::uint32_t>(second);
}

}  // namespace

text_table::text_table(const text_list& texts)
    : texts_(&texts), seed_(new_seed()), entries_(slots(texts.size()), entry{0, -1}) {
  std::array<std::uint64_t, 16> hashes;  // of the next texts, whose places are on their way from memory
  for (std::size_t i = 0, next = 0; i < texts.size(); ++i) {
    for (; next < std::min(i + hashes.size(), texts.size()); ++next) {
      hashes[next % hashes.size()] = hash(texts[next]);
      __builtin_prefetch(&entries_[hashes[next % hashes.size()] & (entries_.size() - 1)], 1);
    }
    const std::uint64_t h = hashes[i % hashes.size()];
    entry& place = entries_[slot(texts[i], h)];
    if (place.id < 0) {
      place = {tag_of(h), static_cast<int>(i)};
    } else if (!duplicate_) {
      duplicate_ = {place.id, static_cast<int>(i)};
    }
  }
}

std::uint64_t text_table::hash(std::string_view text) const {
  return XXH3_64bits_withSeed(text.data(), text.size(), seed_);
}

std::size_t text_table::slot(std::string_view text, std::uint64_t hash) const {
  const std::size_t mask = entries_.size() - 1;
  const auto differs = [&](const entry& e) {
    return e.tag != tag_of(hash) || (*texts_)[static_cast<std::size_t>(e.id)] != text;
  };
  std::size_t i = hash & mask;
  while (entries_[i].id >= 0 && differs(entries_[i])) i = (i + 1) & mask;
  return i;
}

std::optional<int> text_table::find(std::string_view text) const {
  if (entries_.empty()) return std::nullopt;
  const int id = entries_[slot(text, hash(text))].id;
  return id < 0 ? std::nullopt : std::optional(id);
}

pair_table::pair_table(std::size_t capacity) : seed_(new_seed()), entries_(slots(capacity), entry{0, -1}) {}

std::size_t pair_table::slot(std::uint64_t key) const {
  const std::size_t mask = entries_.size() - 1;
  std::size_t i = XXH3_64bits_withSeed(&key, sizeof key, seed_) & mask;
  while (entries_[i].number >= 0 && entries_[i].key != key) i = (i + 1) & mask;
  return i;
}

bool pair_table::insert(int first, int second, int number) {
  entry& place = entries_[slot(key_of(first, second))];
  if (place.number >= 0) return false;
  place = {key_of(first, second), number};
  return true;
}

std::optional<int> pair_table::find(int first, int second) const {
  if (entries_.empty()) return std::nullopt;
  const entry& place = entries_[slot(key_of(first, second))];
  return place.number < 0 ? std::nullopt : std::optional(place.number);
}

}  // namespace bq_llm
