#include "tokenizer/special_tokens.hpp"

#include <map>

namespace bq_llm {
namespace {

constexpr std::string_view blanks = " \t\n\v\f\r";

std::string_view without_trailing_blanks(std::string_view text) {
  return text.substr(0, text.find_last_not_of(blanks) + 1);
}

std::string_view without_leading_blanks(std::string_view text) {
  return text.substr(std::min(text.find_first_not_of(blanks), text.size()));
}

}  // namespace

special_tokens::special_tokens(const vocabulary& tokens) : tokens_(&tokens) {
  std::map<std::size_t, std::array<bool, 256>, std::greater<>> starts;
  for (int id = 0; id < tokens.size(); ++id) {
    const std::string_view text = tokens.text(id);
    if (tokens.is_special(id)) starts[text.size()][static_cast<unsigned char>(text[0])] = true;
  }
  for (const auto& [bytes, first] : starts) lengths_.push_back({bytes, first});
}

std::vector<fragment> special_tokens::split(std::string_view text, bool parse_special) const {
  std::vector<fragment> fragments;
  if (!text.empty()) fragments.push_back({text, -1});
  for (const length_class& length : lengths_) {
    std::vector<fragment> split;
    for (const fragment& each : fragments) {
      if (each.token >= 0) {
        split.push_back(each);
      } else {
        split_text(each.text, length, parse_special, split);
      }
    }
    fragments = std::move(split);
  }
  return fragments;
}

void special_tokens::split_text(std::string_view text, const length_class& length, bool parse_special,
                                std::vector<fragment>& out) const {
  std::size_t begin = 0;  // of what has not been given out
  for (std::size_t i = 0; i + length.bytes <= text.size(); ++i) {
    if (!length.starts[static_cast<unsigned char>(text[i])]) continue;
    const auto id = tokens_->find(text.substr(i, length.bytes));
    if (!id || !tokens_->is_special(*id) || (tokens_->is_control(*id) && !parse_special)) continue;
    std::string_view before = text.substr(begin, i - begin);
    if (tokens_->strips_left(*id)) before = without_trailing_blanks(before);
    if (!before.empty()) out.push_back({before, -1});
    out.push_back({{}, *id});
    begin = i + length.bytes;
    if (tokens_->strips_right(*id)) begin = text.size() - without_leading_blanks(text.substr(begin)).size();
    i = begin - 1;
  }
  if (begin < text.size()) out.push_back({text.substr(begin), -1});
}

}  // namespace bq_llm
