// bq-imatrix as users and scripts meet it, on the embedded model: what it prints, what it refuses, and that no output
// is ever half-written.
#include "program/json_output.hpp"

using nlohmann::json;
using program::error_code;
using program::result;
using program::run;

namespace {

using words = std::vector<std::string>;

words measuring(words more) {
  more.insert(more.begin(), {"-m", BQ_MODEL, "-f", BQ_TEST_TEXT, "-c", "128", "-t", "1"});
  return more;
}

}  // namespace

TEST_CASE("bq-imatrix: measures, merges both forms, and shows what is in them") {
  const program::scratch dir;
  for (const char* name : {"a.gguf", "b.dat"}) {
    const auto found = result(measuring({"--json", "-q", "--chunks", "2", "-o", dir / name}));
    CHECK(found["weights"] == 42);
    CHECK(found["chunks"] == 2);
    CHECK(found["chunk_size"] == 128);
    CHECK(found["perplexity"]["value"].get<double>() > 1);
  }
  const auto merged =
      result({"--json", "--in-file", dir / "b.dat", "--in-file", dir / "a.gguf", "-o", dir / "ab.gguf"});
  CHECK(merged["weights"] == 42);
  CHECK(merged["chunks"] == 4);
  CHECK(merged["chunk_size"] == 128);
  const auto shown = result({"--json", "--in-file", dir / "ab.gguf", "--show-statistics"});
  CHECK(shown["statistics"].size() == 42);
  CHECK(dir.files() == words{"a.gguf", "ab.gguf", "b.dat"});
}

TEST_CASE("bq-imatrix: models, texts and matrices that are none are refused") {
  const program::scratch dir;
  const std::string whole = program::read_file(BQ_MODEL);
  for (const std::size_t bytes : {whole.size() / 2, whole.size() - 1}) {
    program::write_file(dir / "m.gguf", whole.substr(0, bytes));
    CHECK(error_code({"--json", "-m", dir / "m.gguf", "-f", BQ_TEST_TEXT, "-o", dir / "out.gguf"}) == "truncated");
  }
  program::write_file(dir / "m.gguf", "hello, this is no model at all, only text");
  CHECK(error_code({"--json", "-m", dir / "m.gguf", "-f", BQ_TEST_TEXT, "-o", dir / "out.gguf"}) == "not_gguf");
  CHECK(error_code({"--json", "-m", BQ_MODEL, "-f", dir / "missing.txt", "-o", dir / "out.gguf"}) == "io");
  CHECK(error_code({"--json", "--in-file", dir / "missing.gguf", "-o", dir / "out.gguf"}) == "io");
  CHECK(error_code({"--json", "--in-file", dir / "m.gguf", "-o", dir / "m.gguf"}) == "same_file");
  CHECK_FALSE(error_code({"--json", "--in-file", dir / "m.gguf", "-o", dir / "out.gguf"}).empty());
  CHECK_FALSE(error_code({"--json", "--in-file", BQ_MODEL, "-o", dir / "out.gguf"}).empty());
  CHECK(dir.files() == words{"m.gguf"});
}

TEST_CASE("bq-imatrix: the output appears whole or not at all") {
  const program::scratch dir;
  program::write_file(dir / "out.gguf", "precious");
  const words write = measuring({"--json", "-o", dir / "out.gguf"});
  SUBCASE("Ctrl-C") { CHECK(program::run_and_interrupt(write, "[").exit_code != 0); }
  SUBCASE("SIGKILL") { program::run_and_kill(write); }
  SUBCASE("a full disk") {
    for (const char* form : {"gguf", "dat"}) {
      const auto o = program::run_with_file_limit(
          measuring({"--json", "-q", "--chunks", "2", "--output-format", form, "-o", dir / "out.gguf"}), 10000);
      CHECK(o.exit_code == 1);
      CHECK(json::parse(o.out).contains("error"));
    }
  }
  SUBCASE("no such folder, which is noticed before the work") {
    const auto o = run(measuring({"--json", "-o", dir / "nowhere/out.gguf"}));
    CHECK(json::parse(o.out)["error"]["code"] == "io");
    CHECK(o.err.find('[') == std::string::npos);
  }
  CHECK(dir.files() == words{"out.gguf"});
  CHECK(program::read_file(dir / "out.gguf") == "precious");
}

TEST_CASE("bq-imatrix: command lines that make no sense end with 2 and say why") {
  for (const words& bad : {words{}, words{"-m", BQ_MODEL}, words{"-f", BQ_TEST_TEXT},
                           measuring({"--output-format", "csv"}), measuring({"--no-such-option"})}) {
    const auto o = run(bad);
    CAPTURE(bad.size());
    CHECK(o.exit_code == 2);
    CHECK(o.out.empty());
    CHECK_FALSE(o.err.empty());
  }
  CHECK(run({"--help"}).exit_code == 0);
}
