// Hostile files: each malformed one gives its error, within bounds of memory and time that grow linearly with the file.
#include <doctest/doctest.h>
#include <time.h>

#include <random>

#include "../memory.hpp"
#include "blockquant/gguf.hpp"
#include "malformed.hpp"
#include "raw_file.hpp"
#include "scratch.hpp"

namespace {

using namespace bq::gguf;

// Opening one file: what came of it, and what it cost.
struct attempt {
  std::optional<bq::error_info> failure;
  std::string what;
  std::size_t tensors = 0;
  std::size_t peak_bytes = 0;
  double seconds = 0;  // of this thread's processor time: other programs do not count
};

double processor_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

attempt try_open(const std::string& path) {
  attempt a;
  const double start = processor_seconds();
  test::reset_peak_memory();
  try {
    a.tensors = model::open(path).tensors().size();
  } catch (const bq::error& e) {
    a.failure = e.info();
    a.what = e.what();
  }
  a.peak_bytes = test::peak_memory();
  a.seconds = processor_seconds() - start;
  return a;
}

// The largest factor of memory belongs to keys of one byte: 14 bytes in the file become an entry of a growing table.
// The time leaves room for sanitizers; searching 10^6 names quadratically would take hours.
void check_cost(const attempt& a, std::size_t file_bytes) {
  CHECK(a.peak_bytes <= 32 * file_bytes + (1 << 20));
  CHECK(a.seconds <= 1.0 + 2e-6 * static_cast<double>(file_bytes));
}

void check_text(const attempt& a) {
  const auto control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  CHECK(std::ranges::none_of(a.what, control));
  CHECK(!a.failure->message.empty());
  CHECK(!a.failure->file.empty());
}

std::string read_all(const std::string& path) {
  const model m = model::open(path);
  std::string out;
  for (const tensor& t : m.tensors()) {
    std::vector<std::byte> data(static_cast<std::size_t>(t.bytes));
    m.read(t, 0, data);
    out.append(reinterpret_cast<const char*>(data.data()), data.size());
  }
  return out;
}

// Opens and reads a damaged file: success or bq::error.
bool survives(const std::string& path) {
  try {
    read_all(path);
  } catch (const bq::error&) {
  }
  return true;
}

}  // namespace

TEST_CASE("malformed files give their error at bounded cost") {
  const test::scratch dir;
  for (const test::malformed_file& f : test::malformed_files()) {
    CAPTURE(f.name);
    const std::string bytes = f.bytes();
    const attempt a = try_open(dir.add("file.gguf", bytes));
    REQUIRE(a.failure);
    CHECK_MESSAGE(a.failure->code == f.code, a.what);
    check_text(a);
    check_cost(a, bytes.size());
  }
}

TEST_CASE("odd files that are right open at bounded cost") {
  const test::scratch dir;
  for (const test::accepted_file& f : test::accepted_files()) {
    CAPTURE(f.name);
    const std::string bytes = f.bytes();
    const attempt a = try_open(dir.add("file.gguf", bytes));
    CHECK_MESSAGE(!a.failure, a.what);
    CHECK(a.tensors == f.tensors);
    check_cost(a, bytes.size());
  }
}

TEST_CASE("malformed splits give their error") {
  for (const test::malformed_split& s : test::malformed_splits()) {
    CAPTURE(s.name);
    const test::scratch dir;
    const auto files = s.files();
    for (const test::named_bytes& f : files) dir.add(f.name, f.bytes);
    const attempt a = try_open(dir / files.front().name);
    REQUIRE(a.failure);
    CHECK_MESSAGE(a.failure->code == s.code, a.what);
    check_text(a);
  }
}

TEST_CASE("a file cut at any byte") {
  const test::scratch dir;
  const std::string whole = test::small_file();
  const model m = model::open(dir.add("whole.gguf", whole));
  const std::uint64_t data = m.shards()[0].data_offset;
  for (std::size_t length = 0; length < whole.size(); ++length) {
    CAPTURE(length);
    const attempt a = try_open(dir.add("cut.gguf", whole.substr(0, length)));
    REQUIRE(a.failure);
    const bq::errc code = a.failure->code;
    const bool fits =
        code == bq::errc::truncated || (length < data && (code == bq::errc::bad_count || code == bq::errc::bad_string));
    CHECK_MESSAGE(fits, a.what);
    check_text(a);
    if (length >= data) {
      const auto first_cut =
          std::ranges::find_if(m.tensors(), [&](const tensor& t) { return t.offset + t.bytes > length; });
      CHECK(a.failure->subject == first_cut->name);
      CHECK(a.failure->message.find(std::to_string(whole.size() - length) + " bytes") != std::string::npos);
    }
  }
}

TEST_CASE("a file with any byte changed opens or gives an error") {
  const test::scratch dir;
  for (const bool big_endian : {false, true}) {
    const std::string good = test::small_file(big_endian);
    for (std::size_t at = 0; at < good.size(); ++at) {
      CAPTURE(at);
      const auto old = static_cast<unsigned char>(good[at]);
      for (const int changed : {old ^ 0xff, old ^ 0x01, old ^ 0x80, old + 1, 0x00, 0x7f, 0xff}) {
        std::string bytes = good;
        bytes[at] = static_cast<char>(changed);
        CHECK(survives(dir.add("file.gguf", bytes)));
      }
    }
  }
}

TEST_CASE("files with many random changes open or give an error") {
  const test::scratch dir;
  const std::string good = test::small_file();
  std::mt19937 random(20240911);
  const auto below = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); };
  constexpr unsigned char corners[] = {0x00, 0x01, 0x02, 0x08, 0x09, 0x1f, 0x20, 0x7f, 0x80, 0xfe, 0xff};
  for (int i = 0; i < 3000; ++i) {
    std::string bytes = good;
    for (std::size_t n = 1 + below(6); n > 0; --n) {
      const std::size_t at = 4 + below(bytes.size() - 4);
      if (below(8) == 0)
        bytes.erase(at, below(9));
      else if (below(8) == 0)
        bytes.insert(at, below(9), static_cast<char>(corners[below(std::size(corners))]));
      else
        bytes[at] = static_cast<char>(corners[below(std::size(corners))]);
    }
    CHECK(survives(dir.add("file.gguf", bytes)));
  }
}

TEST_CASE("limits of the caller") {
  const test::scratch dir;
  const std::string path = dir.add("file.gguf", test::small_file());
  const auto code_with = [&](auto set) {
    open_options o;
    set(o.limits);
    try {
      model::open(path, o);
    } catch (const bq::error& e) {
      return e.code();
    }
    return bq::errc::io;
  };
  CHECK(code_with([](limits& l) { l.max_header_bytes = 100; }) == bq::errc::bad_count);
  CHECK(code_with([](limits& l) { l.max_header_bytes = 305; }) == bq::errc::truncated);
  CHECK(code_with([](limits& l) { l.max_key_bytes = 5; }) == bq::errc::bad_key);
  CHECK(code_with([](limits& l) { l.max_name_bytes = 5; }) == bq::errc::bad_tensor_name);
  CHECK(code_with([](limits& l) { l.max_string_bytes = 4; }) == bq::errc::bad_string);
}

TEST_CASE("messages say what a foreign file is") {
  const test::scratch dir;
  const auto found = [&](std::string_view bytes) {
    return try_open(dir.add("file", std::string(bytes))).failure->found;
  };
  CHECK(found("version https://git-lfs.github.com/spec/v1\n").find("Git LFS pointer") != std::string::npos);
  CHECK(found("<!doctype HTML><html>").find("HTML page") != std::string::npos);
  CHECK(found("tjgg\3").find("GGJT") != std::string::npos);
  CHECK(found(std::string(64, '\0')).find("zeros") != std::string::npos);
  CHECK(found("once upon a time").find("once upon a time") != std::string::npos);
  CHECK(try_open(dir.add("cat.gguf", test::small_file() + test::small_file())).failure->advice.find("--merge") !=
        std::string::npos);
}
