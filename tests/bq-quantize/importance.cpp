// Importance matrices in both forms: values as llama-quantize computes them, and every kind of damage.
#include <doctest/doctest.h>

#include <blockquant/gguf.hpp>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>

#include "../error_code.hpp"
#include "described_model.hpp"
#include "imatrix/imatrix.hpp"

using bq_llm::imatrix;
using bq_quantize_test::imatrix_file;
using test::code_of;
using test::error_of;

namespace {

using entries = std::map<std::string, std::vector<float>>;

template <class Number>
std::string bytes_of(Number n) {
  return {reinterpret_cast<const char*>(&n), sizeof n};
}
std::string number(std::int32_t n) { return bytes_of(n); }

std::optional<bq::error_info> error_of_file(const std::string& bytes) {
  const imatrix_file file(bytes);
  return error_of([&] { imatrix::open(file.path()); });
}

const std::string whole = number(2) + number(3) + "abc" + number(4) + number(2) + bytes_of(8.0f) + bytes_of(2.0f) +
                          number(1) + "d" + number(0) + number(1) + bytes_of(5.0f) + number(77) + number(4) + "text";

// A GGUF importance matrix: sums [cols, experts] and counts [1, experts] of each weight.
struct measured {
  std::string name;
  std::int64_t cols;
  std::vector<float> sums, counts;
};

class gguf_file {
 public:
  gguf_file(const std::vector<measured>& weights, bool complete = true) {
    using bq::gguf::value;
    path_ = (std::filesystem::temp_directory_path() /
             ("bq-imatrix-" + std::to_string(reinterpret_cast<std::uintptr_t>(this)) + ".gguf"))
                .string();
    bq::gguf::metadata meta;
    meta.set("general.type", value::of_string("imatrix"));
    meta.set("imatrix.datasets", value::of_strings(std::vector<std::string>{"one.txt", "two.txt"}));
    meta.set("imatrix.chunk_size", value::of_u32(512));
    if (complete) meta.set("imatrix.chunk_count", value::of_u32(9));
    std::vector<bq::gguf::tensor_shape> shapes;
    std::vector<std::span<const float>> data;
    const auto add = [&](const std::string& name, std::int64_t cols, const std::vector<float>& values) {
      const auto count = static_cast<std::int64_t>(values.size());
      shapes.push_back({.name = name, .n_dims = 2, .ne = {cols, count / cols, 1, 1}, .bytes = 4 * values.size()});
      data.push_back(values);
    };
    for (const measured& w : weights) {
      if (!w.sums.empty()) add(w.name + ".in_sum2", w.cols, w.sums);
      if (!w.counts.empty()) add(w.name + ".counts", 1, w.counts);
    }
    bq::gguf::writer out(path_, meta, shapes);
    for (std::size_t i = 0; i < data.size(); ++i) out.write(i, 0, std::as_bytes(data[i]));
    out.commit();
  }
  ~gguf_file() { std::filesystem::remove(path_); }
  gguf_file(const gguf_file&) = delete;
  gguf_file& operator=(const gguf_file&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace

TEST_CASE("the legacy form: values over calls, chunks and the data set's name") {
  const imatrix_file file(whole);
  const imatrix m = imatrix::open(file.path());
  CHECK(m.size() == 2);
  CHECK(m.values("abc") == 2);
  CHECK(m.values("x") == 0);
  CHECK(m.load("abc") == std::vector<float>{2.0f, 0.5f});
  CHECK(m.load("d") == std::vector<float>{5.0f});
  CHECK(m.chunks() == 77);
  CHECK(m.datasets() == std::vector<std::string>{"text"});
  CHECK(m.names() == std::vector<std::string>{"abc", "d"});
  CHECK(code_of([&] { m.load("x"); }) == bq::errc::invalid_argument);
}

TEST_CASE("the legacy form cut at any byte is refused, except where its optional parts end") {
  const std::size_t entries_end = whole.size() - 12, chunks_end = whole.size() - 8;
  for (std::size_t size = 0; size < whole.size(); ++size) {
    CAPTURE(size);
    CHECK(error_of_file(whole.substr(0, size)).has_value() == (size != entries_end && size != chunks_end));
  }
}

TEST_CASE("lengths and counts that the file cannot hold are refused without allocating them") {
  const std::int32_t huge = std::numeric_limits<std::int32_t>::max();
  for (const std::int32_t n : {-1, huge, std::numeric_limits<std::int32_t>::min()}) {
    CAPTURE(n);
    for (const std::string& bytes :
         {number(n) + whole.substr(4), number(1) + number(n) + whole.substr(8),
          number(1) + number(1) + "a" + number(1) + number(n) + bytes_of(1.0f),
          number(1) + number(1) + "a" + number(1) + number(1) + bytes_of(1.0f) + number(3) + number(n) + "text"}) {
      const auto e = error_of_file(bytes);
      REQUIRE(e);
      CHECK(e->code == bq::errc::bad_count);
      CHECK(e->offset.has_value());
    }
  }
  CHECK(error_of_file(number(0)).has_value());
}

TEST_CASE("values that are no importance are named with their place") {
  const float bad[] = {-1.0f, std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()};
  for (const float value : bad) {
    CAPTURE(value);
    std::vector<float> values(100000, 1.0f);
    values[70001] = value;
    const imatrix_file file(entries{{"good", {1}}, {"blk.0.x", values}});
    const auto e = error_of([&] { imatrix::open(file.path()); });
    REQUIRE(e);
    CHECK(e->code == bq::errc::bad_importance);
    CHECK(e->subject == "blk.0.x");
    CHECK(e->message.find("70001") != std::string::npos);
  }
  CHECK(error_of_file(number(1) + number(1) + "a" + number(-3) + number(1) + bytes_of(1.0f))->code ==
        bq::errc::bad_importance);
  const std::string twice = number(1) + "a" + number(1) + number(1) + bytes_of(1.0f);
  CHECK(error_of_file(number(2) + twice + twice)->code == bq::errc::bad_importance);
}

TEST_CASE("entries are kept or dropped by parts of their names") {
  const imatrix_file file(entries{{"blk.0.attn_k.weight", {1}}, {"blk.0.ffn_up.weight", {1}}, {"output.weight", {1}}});
  imatrix m = imatrix::open(file.path());
  m.exclude(std::vector<std::string>{"output"});
  CHECK(m.size() == 2);
  m.include_only(std::vector<std::string>{"attn", "none"});
  CHECK(m.names() == std::vector<std::string>{"blk.0.attn_k.weight"});
}

TEST_CASE("the GGUF form: sums over counts, expert by expert, and 1 for experts that were never reached") {
  const gguf_file file({{"a.weight", 2, {6, 3, 7, 7, 0, 10}, {3, 0, 2.4f}}, {"b.weight", 3, {1, 2, 3}, {4}}});
  const imatrix m = imatrix::open(file.path());
  CHECK(m.load("a.weight") == std::vector<float>{2, 1, 1, 1, 0, 5});
  CHECK(m.load("b.weight") == std::vector<float>{0.25f, 0.5f, 0.75f});
  CHECK(m.values("a.weight") == 6);
  CHECK(m.chunks() == 9);
  CHECK(m.datasets() == std::vector<std::string>{"one.txt", "two.txt"});
}

TEST_CASE("the GGUF form with many values is read in pieces without seams") {
  constexpr std::int64_t cols = 1000, experts = 300;
  measured w{"w", cols, std::vector<float>(cols * experts), std::vector<float>(experts)};
  for (std::int64_t e = 0; e < experts; ++e) w.counts[e] = static_cast<float>(e % 7);
  for (std::size_t i = 0; i < w.sums.size(); ++i) w.sums[i] = static_cast<float>(i % 8191);
  const gguf_file file({w});
  const auto values = imatrix::open(file.path()).load("w");
  REQUIRE(values.size() == w.sums.size());
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const float count = w.counts[i / cols];
    wrong += values[i] != (count > 0 ? w.sums[i] / count : 1.0f);
  }
  CHECK(wrong == 0);
}

TEST_CASE("damage in the GGUF form is refused") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto code = [](const std::vector<measured>& weights, bool complete = true) {
    const gguf_file file(weights, complete);
    return code_of([&] { imatrix::open(file.path()); });
  };
  CHECK(code({{"a", 2, {1, 2}, {1}}}) == std::nullopt);
  CHECK(code({{"a", 2, {1, 2}, {1}}}, false) == bq::errc::missing_key);
  CHECK(code({}) == bq::errc::bad_importance);
  CHECK(code({{"a", 2, {1, 2}, {}}}) == bq::errc::bad_importance);
  CHECK(code({{"a", 2, {}, {1}}}) == bq::errc::bad_importance);
  CHECK(code({{"a", 2, {1, 2}, {1, 1, 1}}}) == bq::errc::bad_importance);
  CHECK(code({{"a", 2, {1, -2}, {1}}}) == bq::errc::bad_importance);
  CHECK(code({{"a", 2, {nan, 2}, {1}}}) == bq::errc::bad_importance);
  CHECK(code({{"a", 2, {1, 2}, {-1}}}) == bq::errc::bad_importance);
  CHECK(code({{"a", 2, {1, 2}, {nan}}}) == bq::errc::bad_importance);
  CHECK(code({{"a", 2, {1, 2}, {INFINITY}}}) == bq::errc::bad_importance);
}

TEST_CASE("what is no file is refused") {
  const auto folder = std::filesystem::temp_directory_path();
  CHECK(code_of([&] { imatrix::open(folder.string()); }) == bq::errc::not_a_file);
  CHECK(code_of([&] { imatrix::open((folder / "bq-no-such-imatrix").string()); }) == bq::errc::io);
}
