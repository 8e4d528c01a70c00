// SentencePiece on vocabularies small enough to merge by hand: see described_vocabulary.hpp for the ids.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "described_vocabulary.hpp"
#include "tokenizer/tokenizer.hpp"

using namespace tokenizer_test;
using bq_llm::tokenizer;
using ids = std::vector<int>;

namespace {

const std::string space = "\xE2\x96\x81";

int byte_id(unsigned char value) { return 3 + value; }

// 259 is the space, then a, b, c, ab, bc, abc and "space a".
bq::gguf::metadata letters(bool add_space) {
  auto metadata = sentencepiece_vocabulary({{space, normal, -9},
                                            {"a", normal, -9},
                                            {"b", normal, -9},
                                            {"c", normal, -9},
                                            {"ab", normal, -2},
                                            {"bc", normal, -1},
                                            {"abc", normal, -5},
                                            {space + "a", normal, -3},
                                            {"<x>", control}});
  metadata.set("tokenizer.ggml.add_space_prefix", bq::gguf::value::of_bool(add_space));
  return metadata;
}
constexpr int blank = first_piece, a = blank + 1, ab = a + 3, bc = ab + 1, abc = bc + 1, blank_a = abc + 1,
              x = blank_a + 1;

}  // namespace

TEST_CASE("sentencepiece: the best score merges first, then the left one") {
  const tokenizer t = tokenizer::from(letters(false));
  CHECK(t.encode("ab", false, false) == ids{ab});
  CHECK(t.encode("abc", false, false) == ids{abc});  // bc first, then a + bc
  CHECK(t.encode("abbc", false, false) == ids{ab, bc});
  CHECK(t.encode("aab", false, false) == ids{a, ab});
  CHECK(t.encode(" ab", false, false) == ids{blank, ab});  // ab (-2) goes before "space a" (-3)
  CHECK(t.encode(" a", false, false) == ids{blank_a});
}

TEST_CASE("sentencepiece: characters without a token become their bytes") {
  const tokenizer t = tokenizer::from(letters(false));
  CHECK(t.encode("\xC3\xA9", false, false) == ids{byte_id(0xC3), byte_id(0xA9)});
  CHECK(t.encode("\n", false, false) == ids{byte_id('\n')});
  CHECK(t.encode("a\x80", false, false) == ids{a, byte_id(0x80)});  // damaged text too
  const std::string text = "ab c\xE4\xB8\xAD\n\t\xF0\x9F\x98\x80  abc";
  CHECK(t.decode(t.encode(text, false, false), false) == text);
}

TEST_CASE("sentencepiece: a space before text at the start and after special tokens") {
  const tokenizer t = tokenizer::from(letters(true));
  CHECK(t.encode("a", true, false) == ids{1, blank_a});
  CHECK(t.encode("a<x>a", false, true) == ids{blank_a, x, blank_a});
  CHECK(t.encode("", true, false) == ids{1});
  for (const std::string text : {"a", " a", "  ", "abc a", "a<x>a", "<x> a<x><x>"}) {
    CHECK(t.decode(t.encode(text, false, true), true) == text);
  }
  CHECK(t.decode(t.encode("a", true, false), true) == "<s>a");
  CHECK(t.decode(t.encode("a", true, false), false) == "a");
}

TEST_CASE("sentencepiece: a vocabulary without byte tokens uses the unknown token") {
  auto metadata = letters(false);
  const std::vector<std::string> tokens = {"<unk>", "<s>", "</s>", "a"};
  metadata.set("tokenizer.ggml.tokens", bq::gguf::value::of_strings(tokens));
  metadata.erase("tokenizer.ggml.token_type");
  const tokenizer t = tokenizer::from(metadata);
  CHECK(t.encode("a!a", false, false) == ids{3, 0, 3});
}

TEST_CASE("sentencepiece: a megabyte of one letter takes no quadratic time") {
  const tokenizer t =
      tokenizer::from(sentencepiece_vocabulary({{"a", normal, -1}, {"aa", normal, -2}, {space, normal, -3}}));
  const std::string text(1 << 20, 'a');
  CHECK(t.encode(text, false, false).size() == 1 + text.size() / 2);
}
