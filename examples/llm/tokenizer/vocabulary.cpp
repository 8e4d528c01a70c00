#include "tokenizer/vocabulary.hpp"

#include <blockquant/error.hpp>
#include <cmath>
#include <limits>

#include "tokenizer/byte_alphabet.hpp"
#include "tokenizer/metadata_values.hpp"
#include "tokenizer/utf8.hpp"

namespace bq_llm {
namespace {

// Known vocabularies stay below 1100; SentencePiece's time grows with it.
constexpr std::size_t most_token_bytes = 4096;

constexpr std::string_view tokens_key = "tokenizer.ggml.tokens", kinds_key = "tokenizer.ggml.token_type",
                           scores_key = "tokenizer.ggml.scores";

[[noreturn]] void throw_bad_token(std::size_t id, std::string_view text, std::string message) {
  throw bq::error({.code = bq::errc::bad_string,
                   .message = std::move(message),
                   .subject = std::string(tokens_key) + "[" + std::to_string(id) + "]",
                   .found = bq::printable(text)});
}

void require_length(const bq::gguf::value& array, std::string_view key, std::size_t tokens) {
  if (array.size() >= tokens) return;
  throw bq::error({.code = bq::errc::bad_count,
                   .message = "fewer entries than tokens",
                   .subject = std::string(key),
                   .expected = std::to_string(tokens),
                   .found = std::to_string(array.size())});
}

std::string unescaped_spaces(std::string_view text) {
  std::string out;
  for (std::size_t at; (at = text.find("\xE2\x96\x81")) != std::string_view::npos; text.remove_prefix(at + 3)) {
    out.append(text.substr(0, at)) += ' ';
  }
  return out.append(text);
}

}  // namespace

std::optional<unsigned char> byte_named(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return std::nullopt;
  unsigned value = 0;
  for (const char c : text.substr(3, 2)) {
    const std::size_t digit = std::string_view("0123456789ABCDEFabcdef").find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    value = 16 * value + static_cast<unsigned>(digit < 16 ? digit : digit - 6);
  }
  return static_cast<unsigned char>(value);
}

std::string byte_name(unsigned char byte) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  return std::string("<0x") + digits[byte / 16] + digits[byte % 16] + '>';
}

vocabulary::vocabulary(const bq::gguf::metadata& metadata, vocabulary_model model) : model_(model) {
  read_tokens(metadata);
  read_kinds(metadata);
  if (model == vocabulary_model::sentencepiece) {
    read_scores(metadata);
    if (size() > 0) unknown = 0;
    if (size() > 1) bos = 1;
    if (size() > 2) eos = 2;
  }
  assign_roles(metadata);
  assign_stripping(metadata);
  check_byte_tokens();
}

void vocabulary::read_tokens(const bq::gguf::metadata& metadata) {
  const bq::gguf::value& tokens = require_array(metadata, tokens_key, true, "arr of str: the vocabulary");
  if (tokens.size() == 0 || tokens.size() > std::numeric_limits<int>::max() / 2) {
    throw bq::error({.code = bq::errc::bad_count,
                     .message = "not a vocabulary",
                     .subject = std::string(tokens_key),
                     .found = std::to_string(tokens.size()) + " tokens"});
  }
  texts_.reserve(tokens.size(), tokens.encoding().size());
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const std::string_view text = *tokens.as_string(i);
    if (text.size() > most_token_bytes) throw_bad_token(i, text, "a token that is too long");
    if (!is_utf8(text)) throw_bad_token(i, text, "a token that is not UTF-8");
    if (text.find('\0') != std::string_view::npos) throw_bad_token(i, text, "a token that holds NUL");
    // llama.cpp's name for it; two empty tokens then differ.
    if (text.empty()) {
      texts_.tail() += "[EMPTY_" + std::to_string(i) + "]";
    } else {
      texts_.tail() += text;
    }
    texts_.end_text();
    longest_ = std::max(longest_, texts_[i].size());
  }
  table_ = text_table(texts_);
  if (const auto twice = table_.duplicate()) {
    throw_bad_token(static_cast<std::size_t>(twice->second), text(twice->second),
                    "a token that is also number " + std::to_string(twice->first));
  }
}

void vocabulary::read_kinds(const bq::gguf::metadata& metadata) {
  kinds_.assign(texts_.size(), token_kind::normal);
  const bq::gguf::value* kinds = find_array(metadata, kinds_key, false, "arr of i32: the tokens' types");
  if (!kinds) return;
  require_length(*kinds, kinds_key, texts_.size());
  for (std::size_t i = 0; i < texts_.size(); ++i) {
    const auto kind = kinds->as_int(i).value_or(0);
    const bool known = kind >= 0 && kind <= static_cast<int>(token_kind::byte);
    kinds_[i] = known ? static_cast<token_kind>(kind) : token_kind::undefined;
  }
}

void vocabulary::read_scores(const bq::gguf::metadata& metadata) {
  const bq::gguf::value& scores = require_array(metadata, scores_key, false, "arr of f32: the tokens' scores");
  require_length(scores, scores_key, texts_.size());
  scores_.reserve(texts_.size());
  for (std::size_t i = 0; i < texts_.size(); ++i) {
    scores_.push_back(static_cast<float>(*scores.as_float(i)));
    if (!std::isfinite(scores_[i])) {
      throw bq::error({.code = bq::errc::not_finite,
                       .message = "a score that cannot be compared",
                       .subject = std::string(scores_key) + "[" + std::to_string(i) + "]",
                       .found = std::to_string(scores_[i])});
    }
  }
}

// After the roles, which can make a byte token something else.
void vocabulary::check_byte_tokens() const {
  for (int id = 0; id < size(); ++id) {
    if (kind(id) == token_kind::byte && !byte_named(text(id))) {
      throw bq::error({.code = bq::errc::bad_value,
                       .message = "a byte token that names no byte",
                       .subject = std::string(tokens_key) + "[" + std::to_string(id) + "]",
                       .expected = "<0x00> to <0xFF>",
                       .found = bq::printable(text(id))});
    }
  }
}

std::string vocabulary::piece(int id) const {
  if (is_special(id)) return std::string(text(id));
  if (kind(id) == token_kind::byte) return std::string(1, static_cast<char>(*byte_named(text(id))));
  if (kind(id) != token_kind::normal) return {};
  return model_ == vocabulary_model::bpe ? from_alphabet(text(id)) : unescaped_spaces(text(id));
}

}  // namespace bq_llm
