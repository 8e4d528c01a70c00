// How text falls into words. The words follow from the expressions in the comments; \s, \p{L} (letters) and \p{N}
// (numbers) are Unicode's.
#include "tokenizer/pre_tokenizer.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using bq_llm::pre_tokenizer;
using words = std::vector<std::string>;

namespace {

words split(const char* name, std::string_view text) {
  words out;
  for (const std::string_view word : pre_tokenizer(name).split(text)) out.emplace_back(word);
  return out;
}

}  // namespace

// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
TEST_CASE("pre_tokenizer: gpt-2") {
  CHECK(split("gpt-2", "Hello world") == words{"Hello", " world"});
  CHECK(split("gpt-2", "it's IT'S we'll") == words{"it", "'s", " IT", "'", "S", " we", "'ll"});
  CHECK(split("gpt-2", "a1234 b") == words{"a", "1234", " b"});
  CHECK(split("gpt-2", "x  y\n\nz  ") == words{"x", " ", " y", "\n", "\n", "z", "  "});
  CHECK(split("gpt-2", "a, b!!") == words{"a", ",", " b", "!!"});
  CHECK(split("gpt-2", "\xD0\x9F\xD1\x80\xD0\xB8 \xE4\xBD\xA0\xE5\xA5\xBD") ==
        words{"\xD0\x9F\xD1\x80\xD0\xB8", " \xE4\xBD\xA0\xE5\xA5\xBD"});
  CHECK(split("gpt-2", "e\xCC\x81") == words{"e", "\xCC\x81"});                    // a combining mark is no letter
  CHECK(split("gpt-2", "\xC2\xB2\xE2\x85\xA7") == words{"\xC2\xB2\xE2\x85\xA7"});  // superscript and Roman numerals
  CHECK(split("gpt-2", "").empty());
}

TEST_CASE("pre_tokenizer: Unicode's white space, which is not every library's") {
  for (const std::string blank : {"\t", "\v", "\xC2\x85", "\xC2\xA0", "\xE1\x9A\x80", "\xE2\x80\xA8", "\xE3\x80\x80"}) {
    CHECK(split("gpt-2", "a" + blank + "b") == words{"a", blank, "b"});
    CHECK(split("gpt-2", "!" + blank + "!") == words{"!", blank, "!"});
  }
  // U+180E and U+200B were or look like blanks.
  for (const std::string other : {"\xE1\xA0\x8E", "\xE2\x80\x8B"}) {
    CHECK(split("gpt-2", "!" + other + "!") == words{"!" + other + "!"});
  }
}

TEST_CASE("pre_tokenizer: a surrogate is neither letter nor blank") {
  CHECK(split("gpt-2", "a\xED\xA0\x80!b") == words{"a", "\xED\xA0\x80!", "b"});
}

// Each number alone first, then as gpt-2.
TEST_CASE("pre_tokenizer: smollm and its family") {
  for (const char* name : {"smollm", "starcoder", "command-r", "refact"}) {
    CHECK(split(name, "a 123 b'd") == words{"a", " ", "1", "2", "3", " b", "'d"});
  }
}

// (?i:'s|...)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
TEST_CASE("pre_tokenizer: llama-bpe") {
  CHECK(split("llama-bpe", "IT'S (word)12345") == words{"IT", "'S", " (", "word", ")", "123", "45"});
  CHECK(split("llama-bpe", "(word") == words{"(word"});
  CHECK(split("llama-bpe", "a \n\n b  c") == words{"a", " \n\n", " b", " ", " c"});
  CHECK(split("llama-bpe", "x;\r\n\r\ny") == words{"x", ";\r\n\r\n", "y"});
  CHECK(split("llama-bpe", "\tfoo") == words{"\tfoo"});
}

// As llama-bpe, with \p{N} for \p{N}{1,3}.
TEST_CASE("pre_tokenizer: qwen2") { CHECK(split("qwen2", "x 123") == words{"x", " ", "1", "2", "3"}); }

// \p{P} and some symbols, then as gpt-2, then three digits at a time.
TEST_CASE("pre_tokenizer: falcon") { CHECK(split("falcon", "a 12345, b") == words{"a", " ", "123", "45", ",", " b"}); }

TEST_CASE("pre_tokenizer: words add up to the text") {
  const std::string text = "A\xC2\xA0\xE4\xBD\xA0 1\xF0\x9F\x98\x80\xED\xA0\x80 \t\r\n'S x_y  ";
  for (const char* name : {"default", "gpt-2", "smollm", "llama-bpe", "qwen2", "qwen35", "falcon", "tekken", "gpt-4o",
                           "deepseek-llm", "deepseek-coder", "deepseek-v3", "viking", "exaone-moe", "laguna"}) {
    std::string all;
    for (const std::string& word : split(name, text)) all += word;
    CHECK(all == text);
  }
}
