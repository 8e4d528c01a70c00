// Vocabularies that no one should write: each ends in the bq::error that names what is wrong.
#include <doctest/doctest.h>
#include <blockquant/error.hpp>

#include <limits>
#include <string>
#include <vector>

#include "described_vocabulary.hpp"
#include "tokenizer/tokenizer.hpp"

using namespace tokenizer_test;
using bq::errc;
using bq::gguf::value;
using bq_llm::tokenizer;

namespace {

bq::error_info failure(const bq::gguf::metadata& metadata) {
  try {
    tokenizer::from(metadata);
  } catch (const bq::error& e) {
    return e.info();
  }
  FAIL("a tokeniser came of it");
  return {};
}

bq::gguf::metadata with(bq::gguf::metadata metadata, std::string_view key, value changed) {
  metadata.set(key, std::move(changed));
  return metadata;
}

bq::gguf::metadata without(bq::gguf::metadata metadata, std::string_view key) {
  metadata.erase(key);
  return metadata;
}

value strings(std::vector<std::string> items) { return value::of_strings(items); }

void check(const bq::gguf::metadata& metadata, errc code, std::string_view subject) {
  const bq::error_info info = failure(metadata);
  CHECK(bq::name(info.code) == bq::name(code));
  CHECK(info.subject == subject);
}

}  // namespace

TEST_CASE("tokenizer: keys that are missing or of another type") {
  const auto bpe = bpe_vocabulary({"a b"});
  const auto pieces = sentencepiece_vocabulary({});
  check(bq::gguf::metadata(), errc::missing_key, "tokenizer.ggml.model");
  check(without(bpe, "tokenizer.ggml.tokens"), errc::missing_key, "tokenizer.ggml.tokens");
  check(without(bpe, "tokenizer.ggml.merges"), errc::missing_key, "tokenizer.ggml.merges");
  check(without(pieces, "tokenizer.ggml.scores"), errc::missing_key, "tokenizer.ggml.scores");
  for (const auto& wrong : {value::of_string("x"), value::of_u32(1), value::of_i32s(std::vector<std::int32_t>{1, 2})}) {
    check(with(bpe, "tokenizer.ggml.tokens", wrong), errc::wrong_value_type, "tokenizer.ggml.tokens");
    check(with(bpe, "tokenizer.ggml.merges", wrong), errc::wrong_value_type, "tokenizer.ggml.merges");
  }
  check(with(bpe, "tokenizer.ggml.model", value::of_u32(1)), errc::wrong_value_type, "tokenizer.ggml.model");
  check(with(bpe, "tokenizer.ggml.pre", value::of_u32(1)), errc::wrong_value_type, "tokenizer.ggml.pre");
  check(with(bpe, "tokenizer.ggml.token_type", strings({"a"})), errc::wrong_value_type, "tokenizer.ggml.token_type");
  check(with(pieces, "tokenizer.ggml.scores", value::of_f32(1)), errc::wrong_value_type, "tokenizer.ggml.scores");
  check(with(bpe, "tokenizer.ggml.add_bos_token", value::of_u32(1)), errc::wrong_value_type,
        "tokenizer.ggml.add_bos_token");
  check(with(bpe, "tokenizer.ggml.bos_token_id", value::of_string("1")), errc::wrong_value_type,
        "tokenizer.ggml.bos_token_id");
}

TEST_CASE("tokenizer: models and pre-tokenisers that nobody here knows") {
  const auto info = failure(with(bpe_vocabulary({}), "tokenizer.ggml.model", value::of_string("t5")));
  CHECK(info.code == errc::unsupported_type);
  CHECK(info.found == "t5");
  const auto pre = failure(bpe_vocabulary({}, {}, "no-such\x1B[31m"));
  CHECK(pre.code == errc::unsupported_type);
  CHECK(pre.found == "no-such\\x1b[31m");
}

TEST_CASE("tokenizer: arrays of other lengths than the vocabulary's") {
  const auto bpe = bpe_vocabulary({});
  check(with(bpe, "tokenizer.ggml.tokens", strings({})), errc::bad_count, "tokenizer.ggml.tokens");
  check(with(bpe, "tokenizer.ggml.token_type", value::of_i32s(std::vector<std::int32_t>{1})), errc::bad_count,
        "tokenizer.ggml.token_type");
  check(with(sentencepiece_vocabulary({}), "tokenizer.ggml.scores", value::of_f32s(std::vector<float>{1})),
        errc::bad_count, "tokenizer.ggml.scores");
}

TEST_CASE("tokenizer: texts that are no tokens") {
  check(bpe_vocabulary({}, {{"x\xFFy"}}), errc::bad_string, "tokenizer.ggml.tokens[256]");
  check(bpe_vocabulary({}, {{"\xED\xA0\x80"}}), errc::bad_string, "tokenizer.ggml.tokens[256]");
  check(bpe_vocabulary({}, {{std::string("x\0y", 3)}}), errc::bad_string, "tokenizer.ggml.tokens[256]");
  check(bpe_vocabulary({}, {{std::string(5000, 'x')}}), errc::bad_string, "tokenizer.ggml.tokens[256]");
  check(bpe_vocabulary({}, {{"xyz"}, {"xyz"}}), errc::bad_string, "tokenizer.ggml.tokens[257]");
  check(sentencepiece_vocabulary({{"<0xG0>", byte}}), errc::bad_value, "tokenizer.ggml.tokens[259]");
  // Two empty ones are told apart by their numbers.
  CHECK(tokenizer::from(bpe_vocabulary({}, {{""}, {""}})).size() == 258);
}

TEST_CASE("tokenizer: merges that make no token of two") {
  for (const std::string merge : {"a zz", "zz a", "a", "", " ", "a b c", "a  b"}) {
    auto metadata = bpe_vocabulary({}, {{"ab"}});
    metadata.set("tokenizer.ggml.merges", strings({"a b", merge}));
    check(metadata, errc::bad_string, "tokenizer.ggml.merges[1]");
  }
  auto unlisted = bpe_vocabulary({});  // both halves are tokens, the result is not
  unlisted.set("tokenizer.ggml.merges", strings({"a b"}));
  check(unlisted, errc::bad_string, "tokenizer.ggml.merges[0]");
}

TEST_CASE("tokenizer: ids and scores out of range") {
  const auto bpe = bpe_vocabulary({});
  for (const auto& id :
       {value::of_i32(-1), value::of_u32(256), value::of_u64(std::numeric_limits<std::uint64_t>::max()),
        value::of_i64(std::numeric_limits<std::int64_t>::min())}) {
    for (const std::string key : {"bos", "eos", "unknown", "eot", "fim_pad"}) {
      check(with(bpe, "tokenizer.ggml." + key + "_token_id", id), errc::out_of_range,
            "tokenizer.ggml." + key + "_token_id");
    }
  }
  check(with(bpe, "tokenizer.ggml.add_bos_token", value::of_bool(true)), errc::missing_key,
        "tokenizer.ggml.bos_token_id");
  check(sentencepiece_vocabulary({{"a", normal, std::numeric_limits<float>::quiet_NaN()}}), errc::not_finite,
        "tokenizer.ggml.scores[259]");
  // Types that no version knows are none of the special ones.
  CHECK_FALSE(tokenizer::from(bpe_vocabulary({}, {{"<x>", 99}, {"<y>", -5}})).is_control(256));
}

TEST_CASE("tokenizer: ids that are no tokens are refused") {
  const tokenizer t = tokenizer::from(bpe_vocabulary({}));
  for (const int id : {-1, 256, std::numeric_limits<int>::max(), std::numeric_limits<int>::min()}) {
    CHECK_THROWS_AS(t.piece(id), bq::error);
    CHECK_THROWS_AS(t.decode(std::vector<int>{'a', id}, true), bq::error);
    CHECK_THROWS_AS(t.ends_generation(id), bq::error);
    CHECK_THROWS_AS(t.is_control(id), bq::error);
  }
}
