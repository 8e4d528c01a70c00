// The embedded model's vocabulary on text in many scripts, with code, emoji, combining marks, control characters and
// what looks like special tokens: expected/ holds the ids that llama.cpp gives (make_expected.py).
#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "tokenizer/tokenizer.hpp"

namespace {

std::string contents(const std::string& name) {
  std::ifstream file(TOKENIZER_TEST_DATA "/" + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

TEST_CASE("tokenizer: the embedded model's ids equal llama.cpp's") {
  const auto model = bq::gguf::model::open(BLOCKQUANT_PROSE_MODEL);
  const auto tokenizer = bq_llm::tokenizer::from(model.metadata());
  const std::string text = contents("multilingual.txt");
  std::istringstream expected(contents("expected/prose-6m.txt"));
  REQUIRE(text.size() > 5000);
  for (const bool parse_special : {true, false}) {
    std::string line;
    std::getline(expected, line);
    std::istringstream numbers(line);
    const std::vector<int> ids{std::istream_iterator<int>(numbers), {}};
    REQUIRE(ids.size() > 1000);
    CHECK((tokenizer.encode(text, false, parse_special) == ids));
    CHECK((tokenizer.decode(ids, true) == text));
  }
  CHECK(tokenizer.bos() == 0);
  CHECK(tokenizer.eos() == 1);
  CHECK(tokenizer.encode("", true, true) == std::vector<int>{0});
}
