// Base files: what is written is read, in all forms; and every kind of damage is refused.
#include "base_file.hpp"

#include <doctest/doctest.h>

#include <blockquant/error.hpp>
#include <cmath>
#include <optional>
#include <random>

#include "../gguf/scratch.hpp"
#include "evaluation/log_softmax.hpp"

using namespace bq_perplexity;

namespace {

constexpr std::int64_t vocabulary = 37, length = 8, count = 3, scored = 3;

base_header header(base_form form) {
  base_header h{.form = form, .vocabulary = vocabulary, .model = 1, .tokenizer = 2};
  h.windows.length = length, h.windows.count = count;
  for (int i = 0; i < length * count; ++i) h.windows.tokens.push_back(i % static_cast<int>(vocabulary));
  return h;
}

std::vector<float> logits() {
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0.0f, 4.0f);
  std::vector<float> x(static_cast<std::size_t>(count * scored * vocabulary));
  for (float& v : x) v = normal(random);
  x[5] = -90.0f;  // below what codes cover
  return x;
}

void write(const std::string& path, base_form form) {
  bq::thread_pool threads(2);
  base_writer out(path, header(form));
  const auto x = logits();
  const std::size_t window = x.size() / count, row = static_cast<std::size_t>(vocabulary);
  for (std::size_t w = 0; w < count; ++w) {
    out.add(std::span(x).subspan(w * window, row), threads);
    out.add(std::span(x).subspan(w * window + row, window - row), threads);
  }
  out.commit();
}

std::vector<float> read(const std::string& path) {
  bq::thread_pool threads(2);
  base_reader in(path);
  std::vector<float> x(static_cast<std::size_t>(count * scored * vocabulary));
  const std::size_t window = x.size() / count;
  for (std::size_t w = 0; w < count; ++w) in.next(std::span(x).subspan(w * window, window), threads);
  return x;
}

std::optional<bq::errc> code_of(const std::string& path) {
  try {
    read(path);
  } catch (const bq::error& e) {
    return e.code();
  }
  return {};
}

constexpr base_form forms[] = {base_form::codes, base_form::f32, base_form::llama};

}  // namespace

TEST_CASE("log-probabilities come back") {
  const test::scratch dir;
  const auto x = logits();
  for (const base_form form : forms) {
    write(dir / "base", form);
    CHECK(dir.files() == 1);
    const auto back = read(dir / "base");
    for (std::size_t row = 0; row < x.size(); row += vocabulary) {
      const auto of = std::span(x).subspan(row, vocabulary);
      std::vector<float> exact(vocabulary);
      bq_llm::log_probabilities(of, bq_llm::summarise(of), exact);
      for (std::size_t i = 0; i < exact.size(); ++i) {
        if (row + i == 5 && form != base_form::f32) {
          CHECK(back[row + i] == bq_llm::no_probability);
        } else if (form == base_form::f32) {
          CHECK(back[row + i] == exact[i]);
        } else if (back[row + i] != bq_llm::no_probability) {
          CHECK(std::abs(back[row + i] - exact[i]) < 2e-4f);
        }
      }
    }
  }
}

TEST_CASE("llama.cpp's form, byte by byte") {
  const test::scratch dir;
  write(dir / "base", base_form::llama);
  const std::string bytes = test::contents(dir / "base");
  CHECK(bytes.size() == 20 + 4 * length * count + count * scored * (8 + 2 * (vocabulary + 1)));
  CHECK(bytes.substr(0, 8) == "_logits_");
  CHECK(bytes.substr(8, 12) == std::string("\x08\0\0\0\x25\0\0\0\x03\0\0\0", 12));
}

TEST_CASE("files cut at any byte, or longer than they say, are refused") {
  const test::scratch dir;
  for (const base_form form : forms) {
    write(dir / "base", form);
    const std::string whole = test::contents(dir / "base");
    for (std::size_t n = 0; n < whole.size(); n += n < 200 ? 1 : 37) {
      CAPTURE(n);
      CHECK(code_of(dir.add("cut", whole.substr(0, n))));
    }
    CHECK(code_of(dir.add("long", whole + "x")) == bq::errc::trailing_data);
  }
}

TEST_CASE("every changed byte of our form is found") {
  const test::scratch dir;
  for (const base_form form : {base_form::codes, base_form::f32}) {
    write(dir / "base", form);
    const std::string whole = test::contents(dir / "base");
    for (std::size_t i = 0; i < whole.size(); i += i < 200 ? 1 : 13) {
      CAPTURE(i);
      std::string damaged = whole;
      damaged[i] = static_cast<char>(damaged[i] ^ 0x41);
      CHECK(code_of(dir.add("damaged", damaged)));
    }
  }
}

TEST_CASE("sizes that wrap, and tokens that are none, are refused without allocating them") {
  const test::scratch dir;
  write(dir / "base", base_form::llama);
  const std::string whole = test::contents(dir / "base");
  for (const std::size_t field : {8u, 12u, 16u, 20u}) {
    for (const char* bytes : {"\xff\xff\xff\x7f", "\xff\xff\xff\xff", "\x00\x00\x00\x80", "\x00\x00\x00\x08"}) {
      std::string hostile = whole;
      hostile.replace(field, 4, std::string(bytes, 4));
      CHECK(code_of(dir.add("hostile", hostile)));
    }
  }
  CHECK(code_of(dir.add("other", "hello, this is no base file, but only a text")) == bq::errc::bad_data);
  CHECK(code_of(dir.path().string()) == bq::errc::not_a_file);
  CHECK(code_of(dir / "missing") == bq::errc::io);
}

TEST_CASE("a writer that is not finished leaves nothing") {
  const test::scratch dir;
  {
    bq::thread_pool threads(1);
    base_writer out(dir / "base", header(base_form::codes));
    const auto x = logits();
    out.add(std::span(x).first(static_cast<std::size_t>(vocabulary)), threads);
  }
  CHECK(dir.empty());
}
