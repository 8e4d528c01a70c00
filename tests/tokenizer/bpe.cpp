// Byte-level BPE on vocabularies small enough to merge by hand: byte b has id b, merge n makes id 256 + n.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "described_vocabulary.hpp"
#include "tokenizer/tokenizer.hpp"

using namespace tokenizer_test;
using bq_llm::tokenizer;
using ids = std::vector<int>;

namespace {

ids encode(const tokenizer& t, std::string_view text, bool parse_special = false) {
  return t.encode(text, false, parse_special);
}

}  // namespace

TEST_CASE("bpe: merges go by rank, then from the left") {
  const tokenizer t = tokenizer::from(bpe_vocabulary({"a b", "b c", "ab c", "a a"}));
  CHECK(encode(t, "ab") == ids{256});
  CHECK(encode(t, "abc") == ids{258});         // ab first (rank 0), then ab + c; b + c comes too late
  CHECK(encode(t, "bcabc") == ids{257, 258});  // the merge of rank 1 needs its own neighbours only
  CHECK(encode(t, "aaa") == ids{259, 'a'});    // of two equal pairs the left one
  CHECK(encode(t, "aaaa") == ids{259, 259});
  CHECK(encode(t, "aab") == ids{'a', 256});  // a + b goes before a + a
  CHECK(encode(t, "").empty());
}

TEST_CASE("bpe: merges stay inside the words of the pre-tokeniser") {
  // The space is U+0120 in GPT-2's alphabet.
  const tokenizer t = tokenizer::from(bpe_vocabulary({"a \xC4\xA0", "\xC4\xA0 a", "a !"}));
  CHECK(encode(t, "a a") == ids{'a', 257});  // "a", " a": nothing crosses from word to space
  CHECK(encode(t, "a!") == ids{'a', '!'});
}

TEST_CASE("bpe: whole words, where the pre-tokeniser says so") {
  // "abc" is a token, but no merges lead to it.
  const std::vector<std::string> merges = {"b c"};
  const tokenizer merged = tokenizer::from(bpe_vocabulary(merges, {{"abc"}}));
  auto whole = bpe_vocabulary(merges, {{"abc"}}, "llama-bpe");
  whole.set("tokenizer.ggml.add_bos_token", bq::gguf::value::of_bool(false));
  CHECK(encode(merged, "abc") == ids{'a', 256});
  CHECK(encode(tokenizer::from(whole), "abc") == ids{257});
}

TEST_CASE("bpe: control tokens are found on request, user-defined ones always") {
  const tokenizer t = tokenizer::from(
      bpe_vocabulary({"a b"}, {{"<x>", control}, {"<x>y", control}, {"  ", user_defined}, {"<u>", unknown}}));
  const int x = 257, xy = 258, spaces = 259, u = 260;
  CHECK(encode(t, "ab<x>ab", true) == ids{256, x, 256});
  CHECK(encode(t, "ab<x>ab") == ids{256, '<', 'x', '>', 256});
  CHECK(encode(t, "<x>y<x><u>", true) == ids{xy, x, u});  // the longest goes first
  CHECK(encode(t, "a  b") == ids{'a', spaces, 'b'});
  CHECK(encode(t, "a   b") == ids{'a', spaces, ' ', 'b'});  // from the left
  CHECK(encode(t, "a<x", true) == ids{'a', '<', 'x'});
  CHECK(t.decode(ids{256, x, spaces, u}, true) == "ab<x>  <u>");
  CHECK(t.decode(ids{256, x, spaces, u}, false) == "ab  ");
}

TEST_CASE("bpe: Phi-3 swallows the blanks after its special tokens") {
  auto metadata = bpe_vocabulary({}, {{"<x>", control}, {"<s>", control}});
  metadata.set("general.name", bq::gguf::value::of_string("My Phi-3 mini"));
  const tokenizer t = tokenizer::from(metadata);
  CHECK(encode(t, "<x> \n a", true) == ids{256, 'a'});
  CHECK(encode(t, "<s> a", true) == ids{257, ' ', 'a'});
  CHECK(encode(t, "a<x>\t", true) == ids{'a', 256});
}

TEST_CASE("bpe: bos and eos") {
  auto metadata = bpe_vocabulary({}, {{"<b>", control}, {"<e>", control}});
  metadata.set("tokenizer.ggml.bos_token_id", bq::gguf::value::of_u32(256));
  metadata.set("tokenizer.ggml.eos_token_id", bq::gguf::value::of_u32(257));
  const tokenizer without = tokenizer::from(metadata);
  CHECK(without.encode("a", true, false) == ids{'a'});
  metadata.set("tokenizer.ggml.add_bos_token", bq::gguf::value::of_bool(true));
  metadata.set("tokenizer.ggml.add_eos_token", bq::gguf::value::of_bool(true));
  const tokenizer with = tokenizer::from(metadata);
  CHECK(with.encode("a", true, false) == ids{256, 'a', 257});
  CHECK(with.encode("", true, false) == ids{256, 257});
  CHECK(with.encode("a", false, false) == ids{'a'});
  CHECK(with.bos() == 256);
  CHECK(with.ends_generation(257));
  CHECK_FALSE(with.ends_generation(256));
  CHECK(with.end_tokens() == ids{257});
}

TEST_CASE("bpe: tokens that end a turn are known by their texts") {
  // Listed as normal; the well-known text makes it a control token, which plain text does not spell.
  const tokenizer t = tokenizer::from(bpe_vocabulary({}, {{"<|im_end|>"}, {"<|endoftext|>", control}}));
  CHECK(t.eot() == 256);
  CHECK(t.is_control(256));
  CHECK(t.end_tokens() == ids{256, 257});
  CHECK(encode(t, "<|im_end|>", true) == ids{256});
  CHECK(encode(t, "<|im_end|>").size() == 10);
}

TEST_CASE("bpe: every byte comes back, and what is not UTF-8 as U+FFFD") {
  const tokenizer t = tokenizer::from(bpe_vocabulary({"a b"}));
  CHECK(t.missing_bytes().empty());
  std::string text("\0\x01\x7F", 3);
  text += "\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBD\xF0\x90\x80\x80\xF4\x8F\xBF\xBF ab\r\n";
  CHECK(t.decode(encode(t, text), false) == text);
  CHECK(t.decode(encode(t, "a\x80z"), false) == "a\xEF\xBF\xBDz");
  CHECK(t.decode(encode(t, "\xE2\x96"), false) == "\xEF\xBF\xBD\xEF\xBF\xBD");
  CHECK(t.decode(encode(t, "\xF4\x90\x80\x80"), false).size() == 12);   // beyond U+10FFFF
  CHECK(t.decode(encode(t, "\xC1\xA1"), false) == "a");                 // overlong, as llama.cpp reads it
  CHECK(t.decode(encode(t, "\xED\xA0\x80"), false) == "\xED\xA0\x80");  // a surrogate, likewise
}

TEST_CASE("bpe: a byte without a token is left out") {
  std::vector<std::string> tokens = {"a", "b"};
  auto metadata = bpe_vocabulary({});
  metadata.set("tokenizer.ggml.tokens", bq::gguf::value::of_strings(tokens));
  const tokenizer t = tokenizer::from(metadata);
  CHECK(encode(t, "acb") == ids{0, 1});
  CHECK(t.missing_bytes().size() == 254);
}

TEST_CASE("bpe: a megabyte of one letter takes no quadratic time") {
  const tokenizer t = tokenizer::from(bpe_vocabulary({"a a", "aa aa"}));
  const std::string text(1 << 20, 'a');
  CHECK(encode(t, text) == ids(text.size() / 4, 257));
  for (const std::string_view pre : {"llama-bpe", "qwen2", "smollm", "gpt-4o", "tekken", "deepseek-llm"}) {
    auto metadata = bpe_vocabulary({}, {}, pre);
    metadata.set("tokenizer.ggml.add_bos_token", bq::gguf::value::of_bool(false));
    const tokenizer each = tokenizer::from(metadata);
    for (const char c : {' ', '\n', '1', '\'', 'A'}) {
      const std::string run = std::string(1 << 20, c) + 'x';
      CHECK(encode(each, run).size() == run.size());
    }
  }
}
