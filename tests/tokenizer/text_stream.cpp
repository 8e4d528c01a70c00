// Streaming: characters come out whole, and all that comes out is what decode gives.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "described_vocabulary.hpp"
#include "tokenizer/tokenizer.hpp"
#include "tokenizer/utf8.hpp"

using namespace tokenizer_test;
using bq_llm::text_stream;
using bq_llm::tokenizer;

TEST_CASE("text_stream: a character that is spread over tokens") {
  const tokenizer t = tokenizer::from(bpe_vocabulary({}));  // a token for each byte
  text_stream stream(t);
  const std::string text = "a\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80!";
  std::string all;
  for (const int id : t.encode(text, false, false)) {
    const std::string part = stream.push(id);
    CHECK(bq_llm::is_utf8(part));
    all += part;
  }
  CHECK(all == text);
  CHECK(stream.finish().empty());
}

TEST_CASE("text_stream: bytes that begin no character are not held back") {
  const tokenizer t = tokenizer::from(bpe_vocabulary({}));
  text_stream stream(t);
  CHECK(stream.push(0xFF) == "\xFF");
  CHECK(stream.push(0x80) == "\x80");
  CHECK(stream.push(0xC1) == "\xC1");  // only overlong forms begin so
  CHECK(stream.push(0xE4).empty());
  CHECK(stream.push('a') ==
        "\xE4"
        "a");
  CHECK(stream.push(0xED).empty());
  CHECK(stream.push(0xA0) == "\xED\xA0");  // a surrogate's
  CHECK(stream.push(0xF0).empty());
  CHECK(stream.push(0x9F).empty());
  CHECK(stream.finish() == "\xF0\x9F");
  CHECK(stream.push('b') == "b");
}

TEST_CASE("text_stream: what comes out is what decode gives") {
  const tokenizer t = tokenizer::from(sentencepiece_vocabulary({{"\xE2\x96\x81"}, {"a"}, {"<x>", control}}));
  const std::vector<int> ids = {1, 259, 260, 261, 259, 259, 3 + 0xC3, 3 + 0xA9, 2};
  for (const bool special : {false, true}) {
    text_stream stream(t, special);
    std::string all;
    for (const int id : ids) all += stream.push(id);
    CHECK(all + stream.finish() == t.decode(ids, special));
  }
  // The space after <s> and <x> is the one that encode puts there.
  CHECK(t.decode(ids, false) == "a \xC3\xA9");
}
