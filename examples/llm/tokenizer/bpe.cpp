#include "tokenizer/bpe.hpp"

#include <blockquant/error.hpp>
#include <optional>
#include <string>

#include "tokenizer/byte_alphabet.hpp"
#include "tokenizer/metadata_values.hpp"
#include "tokenizer/pair_merging.hpp"
#include "tokenizer/utf8.hpp"

namespace bq_llm {
namespace {

constexpr std::string_view merges_key = "tokenizer.ggml.merges", pre_key = "tokenizer.ggml.pre";

}  // namespace

bpe::bpe(const bq::gguf::metadata& metadata, const vocabulary& tokens)
    : tokens_(&tokens), splitter_(find_string(metadata, pre_key).value_or("default")) {
  for (std::size_t byte = 0; byte < byte_tokens_.size(); ++byte) {
    byte_tokens_[byte] = tokens.find(byte_alphabet()[byte]).value_or(-1);
  }
  read_merges(metadata);
}

void bpe::read_merges(const bq::gguf::metadata& metadata) {
  const bq::gguf::value& merges = require_array(metadata, merges_key, true, "arr of str: the merges");
  ranks_ = pair_table(merges.size());
  results_.reserve(merges.size());
  std::string joined;
  for (std::size_t i = 0; i < merges.size(); ++i) {
    const std::string_view merge = *merges.as_string(i);
    // The left token is not empty, and may itself be a space.
    const std::size_t space = std::min(merge.find(' ', 1), merge.size());
    const std::string_view left = merge.substr(0, space), right = merge.substr(std::min(space + 1, merge.size()));
    joined.assign(left).append(right);
    const auto first = tokens_->find(left), second = tokens_->find(right), both = tokens_->find(joined);
    if (!first || !second || !both) {
      throw bq::error({.code = bq::errc::bad_string,
                       .message = "a merge that does not make a token of two tokens",
                       .subject = std::string(merges_key) + "[" + std::to_string(i) + "]",
                       .expected = "LEFT RIGHT",
                       .found = bq::printable(merge)});
    }
    ranks_.insert(*first, *second, static_cast<int>(i));
    results_.push_back(*both);
  }
}

void bpe::encode(std::string_view text, std::vector<int>& out) const {
  const std::string repaired = repaired_utf8(text);
  const auto merge = [&](int left, int right) -> std::optional<pair_merging<int, int>::merged> {
    const auto rank = ranks_.find(left, right);
    if (!rank) return std::nullopt;
    return {{*rank, results_[static_cast<std::size_t>(*rank)]}};
  };
  pair_merging<int, int> merging;
  std::vector<int> symbols;
  for (const std::string_view word : splitter_.split(repaired)) {
    if (splitter_.whole_words() && word.size() <= tokens_->longest()) {
      if (const auto id = tokens_->find(to_alphabet(word))) {
        out.push_back(*id);
        continue;
      }
    }
    symbols.clear();
    for (const char byte : word) symbols.push_back(byte_tokens_[static_cast<unsigned char>(byte)]);
    merging.run(symbols, merge);
    for (const int id : symbols) {
      if (id >= 0) out.push_back(id);
    }
  }
}

std::vector<unsigned char> bpe::missing_bytes() const {
  std::vector<unsigned char> missing;
  for (std::size_t byte = 0; byte < byte_tokens_.size(); ++byte) {
    if (byte_tokens_[byte] < 0) missing.push_back(static_cast<unsigned char>(byte));
  }
  return missing;
}

}  // namespace bq_llm
