// Typed access to metadata, the text of errors, and arithmetic that cannot wrap.
#include <doctest/doctest.h>

#include <limits>

#include "blockquant/gguf.hpp"
#include "src/checked.hpp"

namespace {

using namespace bq::gguf;

template <class Call>
bq::error_info failure_of(Call call) {
  try {
    call();
  } catch (const bq::error& e) {
    return e.info();
  }
  FAIL("nothing was thrown");
  return {};
}

}  // namespace

TEST_CASE("integers convert when they fit") {
  CHECK(value::of_u8(255).as_int() == 255);
  CHECK(value::of_i8(-1).as_int() == -1);
  CHECK(value::of_i8(-1).as_uint() == std::nullopt);
  CHECK(value::of_u64(~0ull).as_uint() == ~0ull);
  CHECK(value::of_u64(~0ull).as_int() == std::nullopt);
  CHECK(value::of_i64(std::numeric_limits<std::int64_t>::min()).as_int() == std::numeric_limits<std::int64_t>::min());
  CHECK(value::of_u16(7).as_float() == 7.0);
  CHECK(value::of_f32(1.5f).as_float() == 1.5);
  CHECK(value::of_f64(-0.1).as_float() == -0.1);
  CHECK(value::of_f32(1.0f).as_int() == std::nullopt);
}

TEST_CASE("values of other kinds do not convert") {
  CHECK(value::of_bool(true).as_bool() == true);
  CHECK(value::of_bool(true).as_int() == std::nullopt);
  CHECK(value::of_bool(true).as_float() == std::nullopt);
  CHECK(value::of_u8(1).as_bool() == std::nullopt);
  CHECK(value::of_string("5").as_int() == std::nullopt);
  CHECK(value::of_string("5").as_float() == std::nullopt);
  CHECK(value::of_string("5").as_string() == "5");
  CHECK(value::of_u8(1).as_string() == std::nullopt);
  CHECK(value().as_uint() == 0);
}

TEST_CASE("arrays") {
  const value strings = value::of_strings(std::vector<std::string>{"a", "", "ccc"});
  CHECK(strings.type() == value_type::array);
  CHECK(strings.element_type() == value_type::string);
  CHECK(strings.size() == 3);
  CHECK(strings.as_string(1) == "");
  CHECK(strings.as_string(2) == "ccc");
  CHECK(strings.as_string(3) == std::nullopt);
  const value numbers = value::of_i32s(std::vector<std::int32_t>{5, -6});
  CHECK(numbers.as_int(1) == -6);
  CHECK(numbers.as_uint(1) == std::nullopt);
  CHECK(numbers.as_int(2) == std::nullopt);
  CHECK(value::of_f32s({}).size() == 0);
  CHECK(value::of_f32s({}).as_float() == std::nullopt);
  CHECK(value::of_u64s(std::vector<std::uint64_t>{9}).as_uint() == 9);
  CHECK(name(value_type::string) == "str");
  CHECK(name(value_type::boolean) == "bool");
  CHECK(name(value_type::array) == "arr");
}

TEST_CASE("metadata keeps the order of entries, and finds them") {
  metadata m;
  for (int i = 0; i < 100; ++i) m.set(std::to_string((i * 37) % 100), value::of_i32(i));
  m.set("50", value::of_string("replaced"));
  CHECK(m.entries().size() == 100);
  CHECK(m.entries()[1].key == "37");
  CHECK(m.find("50")->as_string() == "replaced");
  CHECK(m.erase("37"));
  CHECK(!m.erase("37"));
  CHECK(m.find("37") == nullptr);
  CHECK(m.entries()[1].key == "74");
  for (const metadata::entry& e : m.entries()) CHECK(m.find(e.key) == &e.value);
}

TEST_CASE("required keys") {
  metadata m;
  m.set("count", value::of_u64(5));
  m.set("eps", value::of_f32(0.5f));
  m.set("name", value::of_string("x"));
  m.set("negative", value::of_i32(-1));
  m.set("list", value::of_i32s(std::vector<std::int32_t>{1}));
  CHECK(m.require_uint("count") == 5);
  CHECK(m.require_float("eps") == 0.5);
  CHECK(m.require_float("count") == 5.0);
  CHECK(m.require_string("name") == "x");
  CHECK(failure_of([&] { m.require_uint("absent"); }).code == bq::errc::missing_key);
  CHECK(failure_of([&] { m.require_uint("name"); }).code == bq::errc::wrong_value_type);
  CHECK(failure_of([&] { m.require_uint("negative"); }).code == bq::errc::wrong_value_type);
  CHECK(failure_of([&] { m.require_uint("list"); }).found == "arr");
  CHECK(failure_of([&] { m.require_string("count"); }).subject == "count");
  CHECK(failure_of([&] { m.require_float("name"); }).expected == "a number");
}

TEST_CASE("type labels") {
  CHECK(label(12).name == "q4_K");
  CHECK(label(12).block_bytes == 144);
  CHECK(label(16).name == "iq2_xxs");
  CHECK(label(16).owner == "ggml");
  CHECK(label(4).removed);
  CHECK(label(36).removed);
  CHECK(label(36).name == "IQ4_NL_4_4");
  CHECK(label(250).owner == "ik_llama.cpp");
  CHECK(label(~0u).block_size == 0);
}

TEST_CASE("errors are one line") {
  const bq::error e({.code = bq::errc::bad_offset,
                     .message = "the data\nlies outside",
                     .file = "a.gguf",
                     .subject = "t\x1b[0m",
                     .offset = 7,
                     .expected = "x",
                     .found = "y",
                     .advice = "z"});
  CHECK(std::string(e.what()) == "a.gguf: t\\x1b[0m: the data\\x0alies outside at byte 7: expected x, found y; z");
  CHECK(std::string(bq::error({.code = bq::errc::io, .message = "m", .found = "f"}).what()) == "m: found f");
  CHECK(std::string(bq::error({.code = bq::errc::io, .message = "m"}).what()) == "m");
  CHECK(e.info().subject == "t\x1b[0m");
  CHECK(bq::name(bq::errc::bad_offset) == "bad_offset");
  CHECK(bq::name(bq::errc::bad_recipe) == "bad_recipe");
}

TEST_CASE("printable text") {
  CHECK(bq::printable("gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80") == "gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80");
  CHECK(bq::printable(std::string("\0\t\x7f", 3)) == "\\x00\\x09\\x7f");
  CHECK(bq::printable("\xff\xc3(\xe2\x82") == "\\xff\\xc3(\\xe2\\x82");
  CHECK(bq::printable("\xc0\xaf\xed\xa0\x80") == "\\xc0\\xaf\\xed\\xa0\\x80");  // overlong, surrogate
  CHECK(bq::printable("\xf4\x90\x80\x80") == "\\xf4\\x90\\x80\\x80");           // beyond U+10FFFF
  CHECK(bq::printable("\xc2\x9b"
                      "1m") ==
        "\\xc2\\x9b"
        "1m");  // the one-byte CSI
  CHECK(bq::printable("\xe2\x80\xae"
                      "a") ==
        "\\xe2\\x80\\xae"
        "a");  // right-to-left override
  CHECK(bq::printable("abcdef", 3) == "abc...");
  CHECK(bq::printable("ab\xc3\xbc", 3) == "ab...");
  CHECK(bq::printable("abc", 3) == "abc");
}

TEST_CASE("sizes that wrap are lost for good") {
  using bq::checked;
  constexpr std::uint64_t max = std::numeric_limits<std::uint64_t>::max();
  CHECK((checked(2) * 3 + 4).at_most() == 10);
  CHECK((checked(max) + 0).at_most() == max);
  CHECK((checked(max) + 1).at_most() == std::nullopt);
  CHECK((checked(1ull << 32) * (1ull << 32)).at_most() == std::nullopt);
  CHECK((checked(1ull << 32) * (1ull << 32) * 0).at_most() == std::nullopt);
  CHECK(checked(max - 3).padded(32).at_most() == std::nullopt);
  CHECK(checked(max - 31).padded(32).at_most() == max - 31);
  CHECK(checked(33).padded(32).at_most() == 64);
  CHECK(checked(33).padded(1).at_most() == 33);
  CHECK(checked(0).padded(32).at_most() == 0);
  CHECK(checked(5).at_most(4) == std::nullopt);
  CHECK(checked(4).at_most(4) == 4);
}
