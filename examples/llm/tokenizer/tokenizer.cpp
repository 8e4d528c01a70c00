#include "tokenizer/tokenizer.hpp"

#include <blockquant/error.hpp>
#include <limits>
#include <utility>
#include <variant>

#include "tokenizer/bpe.hpp"
#include "tokenizer/metadata_values.hpp"
#include "tokenizer/sentencepiece.hpp"
#include "tokenizer/special_tokens.hpp"
#include "tokenizer/utf8.hpp"
#include "tokenizer/vocabulary.hpp"

namespace bq_llm {
namespace {

vocabulary_model model_of(const bq::gguf::metadata& metadata) {
  const std::string_view name = metadata.require_string("tokenizer.ggml.model");
  if (name == "gpt2") return vocabulary_model::bpe;
  if (name == "llama") return vocabulary_model::sentencepiece;
  throw bq::error({.code = bq::errc::unsupported_type,
                   .message = "a tokeniser that is not supported",
                   .subject = "tokenizer.ggml.model",
                   .expected = "gpt2 (byte-level BPE) or llama (SentencePiece)",
                   .found = bq::printable(name)});
}

void require_id(std::string_view key, std::optional<int> id) {
  if (id) return;
  throw bq::error({.code = bq::errc::missing_key,
                   .message = "a token that is to be added to every text is not named",
                   .subject = std::string(key)});
}

}  // namespace

struct tokenizer::state {
  explicit state(const bq::gguf::metadata& metadata) : state(metadata, model_of(metadata)) {}

  state(const bq::gguf::metadata& metadata, vocabulary_model model) : tokens(metadata, model), special(tokens) {
    if (model == vocabulary_model::bpe) {
      adds_bos = algorithm.emplace<bpe>(metadata, tokens).adds_bos();
    } else {
      algorithm.emplace<sentencepiece>(tokens);
      adds_bos = true;
      adds_space = find_bool(metadata, "tokenizer.ggml.add_space_prefix").value_or(true);
    }
    adds_bos = find_bool(metadata, "tokenizer.ggml.add_bos_token").value_or(adds_bos);
    adds_eos = find_bool(metadata, "tokenizer.ggml.add_eos_token").value_or(false);
    if (adds_bos) require_id("tokenizer.ggml.bos_token_id", tokens.bos);
    if (adds_eos) require_id("tokenizer.ggml.eos_token_id", tokens.eos);
  }

  void encode_text(std::string_view text, bool at_prefix, std::vector<int>& out) const {
    if (const auto* merges = std::get_if<bpe>(&algorithm)) {
      merges->encode(text, out);
    } else {
      std::get<sentencepiece>(algorithm).encode(text, adds_space && at_prefix, out);
    }
  }

  void check(int id) const {
    if (id >= 0 && id < tokens.size()) return;
    throw bq::error({.code = bq::errc::out_of_range,
                     .message = "an id that is no token",
                     .expected = "0 to " + std::to_string(tokens.size() - 1),
                     .found = std::to_string(id)});
  }

  vocabulary tokens;
  special_tokens special;
  std::variant<std::monostate, bpe, sentencepiece> algorithm;
  bool adds_bos = false, adds_eos = false;
  bool adds_space = false;  // before text that stands at the start or after a special token
};

tokenizer::tokenizer(std::unique_ptr<const state> s) : state_(std::move(s)) {}
tokenizer::tokenizer(tokenizer&&) noexcept = default;
tokenizer& tokenizer::operator=(tokenizer&&) noexcept = default;
tokenizer::~tokenizer() = default;

tokenizer tokenizer::from(const bq::gguf::metadata& metadata) {
  return tokenizer(std::make_unique<const state>(metadata));
}

int tokenizer::size() const noexcept { return state_->tokens.size(); }

std::vector<int> tokenizer::encode(std::string_view text, bool add_special, bool parse_special) const {
  std::vector<int> ids;
  if (add_special && state_->adds_bos) ids.push_back(*bos());
  bool at_prefix = true;
  for (const fragment& each : state_->special.split(text, parse_special)) {
    at_prefix = at_prefix || each.token >= 0;
    if (each.token >= 0) {
      ids.push_back(each.token);
    } else {
      state_->encode_text(each.text, std::exchange(at_prefix, false), ids);
    }
  }
  if (add_special && state_->adds_eos) ids.push_back(*eos());
  return ids;
}

std::string tokenizer::decode(std::span<const int> ids, bool special) const {
  text_stream stream(*this, special);
  std::string text;
  for (const int id : ids) text += stream.push(id);
  return text += stream.finish();
}

std::string tokenizer::piece(int id) const {
  state_->check(id);
  return state_->tokens.piece(id);
}

bool tokenizer::is_control(int id) const {
  state_->check(id);
  return state_->tokens.is_control(id);
}

bool tokenizer::ends_generation(int id) const {
  state_->check(id);
  return state_->tokens.ends_generation(id);
}

std::optional<int> tokenizer::find(std::string_view text) const { return state_->tokens.find(text); }
std::optional<int> tokenizer::bos() const noexcept { return state_->tokens.bos; }
std::optional<int> tokenizer::eos() const noexcept { return state_->tokens.eos; }
std::optional<int> tokenizer::eot() const noexcept { return state_->tokens.eot; }
bool tokenizer::adds_bos() const noexcept { return state_->adds_bos; }
bool tokenizer::adds_eos() const noexcept { return state_->adds_eos; }

std::vector<int> tokenizer::end_tokens() const {
  std::vector<int> ids;
  for (int id = 0; id < size(); ++id) {
    if (ends_generation(id)) ids.push_back(id);
  }
  return ids;
}

std::vector<unsigned char> tokenizer::missing_bytes() const {
  const auto* merges = std::get_if<bpe>(&state_->algorithm);
  return merges ? merges->missing_bytes() : std::vector<unsigned char>();
}

text_stream::text_stream(const tokenizer& source, bool special) : source_(&source), special_(special) {}

std::string text_stream::push(int id) {
  std::string piece = source_->piece(id);
  if (source_->state_->tokens.is_special(id)) {
    at_prefix_ = true;
    if (!special_ && source_->is_control(id)) piece.clear();
  } else if (std::exchange(at_prefix_, false) && source_->state_->adds_space && piece.starts_with(' ')) {
    piece.erase(0, 1);
  }
  held_ += piece;
  const std::size_t whole = held_.size() - unfinished_utf8(held_);
  std::string out = held_.substr(0, whole);
  held_.erase(0, whole);
  return out;
}

std::string text_stream::finish() {
  at_prefix_ = true;
  return std::exchange(held_, {});
}

}  // namespace bq_llm
