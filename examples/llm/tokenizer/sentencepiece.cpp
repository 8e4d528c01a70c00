#include "tokenizer/sentencepiece.hpp"

#include <algorithm>
#include <blockquant/error.hpp>
#include <optional>
#include <string>

#include "tokenizer/pair_merging.hpp"

namespace bq_llm {
namespace {

constexpr std::string_view escaped_space = "\xE2\x96\x81";

std::string escaped(std::string_view text, bool space_before) {
  std::string out(space_before ? escaped_space : "");
  for (const char c : text) {
    if (c == ' ') {
      out += escaped_space;
    } else {
      out += c;
    }
  }
  return out;
}

// By the first byte alone: what follows is not looked at, so damaged text falls into the same symbols as in llama.cpp.
std::size_t character_bytes(char first) {
  const auto byte = static_cast<unsigned char>(first);
  return byte < 0xC0 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

}  // namespace

sentencepiece::sentencepiece(const vocabulary& tokens) : tokens_(&tokens) {
  for (std::size_t i = 0; i < byte_tokens_.size(); ++i) {
    const auto byte = static_cast<unsigned char>(i);
    std::optional<int> id = tokens.find(byte_name(byte));
    if (!id) id = tokens.find(std::string(1, static_cast<char>(byte)));
    if (!id) id = tokens.unknown;
    if (!id) {
      throw bq::error({.code = bq::errc::missing_key,
                       .message = "a vocabulary without a token for every byte, and without an unknown token",
                       .subject = "tokenizer.ggml.unknown_token_id",
                       .expected = byte_name(byte)});
    }
    byte_tokens_[i] = *id;
  }
}

void sentencepiece::encode(std::string_view text, bool space_before, std::vector<int>& out) const {
  struct span {
    std::size_t begin, bytes;
  };
  using merging = pair_merging<span, float>;
  const std::string escaped_text = escaped(text, space_before);
  const std::string_view all = escaped_text;
  std::vector<span> symbols;
  for (std::size_t i = 0; i < all.size(); i += symbols.back().bytes) {
    symbols.push_back({i, std::min(character_bytes(all[i]), all.size() - i)});
  }
  merging().run(symbols, [&](span left, span right) -> std::optional<merging::merged> {
    const span both{left.begin, left.bytes + right.bytes};
    if (both.bytes > tokens_->longest()) return std::nullopt;
    const auto id = tokens_->find(all.substr(both.begin, both.bytes));
    if (!id) return std::nullopt;
    return {{-tokens_->score(*id), both}};
  });
  for (const span& symbol : symbols) {
    const std::string_view piece = all.substr(symbol.begin, symbol.bytes);
    if (const auto id = tokens_->find(piece)) {
      out.push_back(*id);
    } else {
      for (const char byte : piece) out.push_back(byte_tokens_[static_cast<unsigned char>(byte)]);
    }
  }
}

}  // namespace bq_llm
