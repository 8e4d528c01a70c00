// Text to token ids and back, as a GGUF file describes it: byte-level BPE ("gpt2") and SentencePiece's unigram scores
// merged greedily ("llama"). Ids are those of llama.cpp for the same file and text, so that prompts, perplexities and
// benchmarks compare.
//
// Text is bytes. BPE reads them as UTF-8 and turns each byte that is not into U+FFFD; SentencePiece keeps them as byte
// tokens. Where the vocabulary has a token for every byte (SentencePiece: byte fallback), decode(encode(text)) gives
// valid UTF-8 back exactly, with one exception: SentencePiece stores the space as U+2581, which cannot be told apart.
// As in llama.cpp, a byte for which a BPE vocabulary has no token is left out: see missing_bytes().
#pragma once
#include <blockquant/gguf.hpp>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bq_llm {

// Cheap to move; const members are thread safe.
class tokenizer {
 public:
  // Reads the keys tokenizer.ggml.*. Throws errc::missing_key and errc::wrong_value_type naming the key,
  // errc::unsupported_type (a model or pre-tokeniser that is unknown here; `found` names it), errc::bad_string (a token
  // twice or too long, a merge of no tokens), errc::bad_count (arrays of different lengths), errc::out_of_range (an id
  // that is no token), errc::not_finite (scores), errc::bad_value (a byte token that names no byte).
  static tokenizer from(const bq::gguf::metadata& metadata);

  tokenizer(tokenizer&&) noexcept;
  tokenizer& operator=(tokenizer&&) noexcept;
  ~tokenizer();

  int size() const noexcept;  // tokens in the vocabulary; ids are 0 .. size()-1

  // add_special: bos and eos around the text, where the file says so. parse_special: text that spells a control token
  // ("<|im_end|>") becomes that token; leave it off for text that users type. User-defined tokens are found in both
  // cases. Time O(n log n) in the bytes of the text.
  std::vector<int> encode(std::string_view text, bool add_special, bool parse_special) const;

  // The text of ids in a row; `special`: control and unknown tokens are spelled out, else left out. A space that encode
  // has put before the text (add_space_prefix) is taken away. Throws errc::out_of_range for an id that is no token.
  std::string decode(std::span<const int> ids, bool special) const;

  // The bytes of one token, control tokens spelled out; possibly part of a UTF-8 character. Throws errc::out_of_range.
  std::string piece(int id) const;
  bool is_control(int id) const;       // control or unknown: shown only when asked for. Throws errc::out_of_range
  bool ends_generation(int id) const;  // eos, eot and their kin. Throws errc::out_of_range

  std::optional<int> find(std::string_view piece) const;  // a token that is stored as this text

  std::optional<int> bos() const noexcept, eos() const noexcept;  // begin and end of a sequence
  std::optional<int> eot() const noexcept;                        // end of a chat turn
  bool adds_bos() const noexcept, adds_eos() const noexcept;      // what encode(add_special) adds
  std::vector<int> end_tokens() const;                            // all that end generation, ascending

  // Bytes that encode leaves out, ascending: those for which a BPE vocabulary has no token.
  std::vector<unsigned char> missing_bytes() const;

 private:
  friend class text_stream;
  struct state;
  explicit tokenizer(std::unique_ptr<const state>);
  std::unique_ptr<const state> state_;
};

// decode, token by token: what push and finish return adds up to what decode returns. A UTF-8 character that is spread
// over tokens comes out whole, with its last token; bytes that can be part of none come out as they are. The tokenizer
// must outlive the stream.
class text_stream {
 public:
  explicit text_stream(const tokenizer& source, bool special = false);
  std::string push(int id);  // throws errc::out_of_range for an id that is no token
  std::string finish();      // what is held back; the stream then starts anew

 private:
  const tokenizer* source_;
  bool special_;
  bool at_prefix_ = true;  // encode puts a space before text that stands here
  std::string held_;       // the start of a character
};

}  // namespace bq_llm
