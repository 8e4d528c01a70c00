// bq-perplexity as users and scripts meet it, on the embedded model: what it prints, what it refuses, and that no
// output is ever half-written.
#include "program/json_output.hpp"

using nlohmann::json;
using program::error_code;
using program::result;
using program::run;

namespace {

using words = std::vector<std::string>;

words measuring(words more) {
  more.insert(more.begin(), {"-f", BQ_TEST_TEXT, "-c", "128", "-t", "1"});
  return more;
}

words with_model(words more) {
  more.insert(more.begin(), {"-m", BQ_MODEL});
  return measuring(std::move(more));
}

}  // namespace

TEST_CASE("bq-perplexity: a base file, and a model compared with itself") {
  const program::scratch dir;
  for (const char* form : {"u16", "f32", "llama"}) {
    CAPTURE(form);
    const auto written = result(
        with_model({"--json", "-q", "--chunks", "3", "--kl-divergence-base", dir / "base", "--base-format", form}));
    CHECK(written["windows"] == 3);
    CHECK(written["scored_tokens"] == 3 * 63);
    CHECK(dir.files() == words{"base"});
    const auto same =
        result({"-m", BQ_MODEL, "--json", "-q", "-t", "1", "--kl-divergence-base", dir / "base", "--kl-divergence"});
    CHECK(same["windows"] == 3);
    CHECK(same["perplexity"]["value"] == written["perplexity"]["value"]);
    CHECK(std::abs(same["kld"]["value"].get<double>()) < 1e-5);
    CHECK(same["same_top"]["value"] == 1.0);
  }
  const words other_context{"-m",         BQ_MODEL,         "--json", "-q", "-c", "64", "--kl-divergence-base",
                            dir / "base", "--kl-divergence"};
  CHECK(error_code(other_context) == "bad_shape");
}

TEST_CASE("bq-perplexity: --compare prints one object, and plots where it is told to") {
  const program::scratch dir;
  const words compare =
      measuring({"--json", "-q", "--chunks", "2", "--plot", dir / "plot.svg", "--compare", BQ_MODEL, BQ_MODEL});
  const auto found = result(compare);
  REQUIRE(found["models"].size() == 2);
  for (const auto& m : found["models"]) CHECK(m["kld"]["value"] == 0.0);
  CHECK(program::read_file(dir / "plot.svg").starts_with("<svg"));

  words nowhere = compare;
  *(std::find(nowhere.begin(), nowhere.end(), "--plot") + 1) = dir / "nowhere/plot.svg";
  CHECK(error_code(nowhere) == "io");
}

TEST_CASE("bq-perplexity: models that are none, and texts that cannot be read, are refused") {
  const program::scratch dir;
  const std::string whole = program::read_file(BQ_MODEL);
  const auto code = [&](const std::string& bytes) {
    program::write_file(dir / "m.gguf", bytes);
    return error_code(measuring({"--json", "-q", "--chunks", "2", "-m", dir / "m.gguf"}));
  };
  CHECK(code("hello, this is no model at all, only text") == "not_gguf");
  CHECK(code(whole.substr(0, 3000)) == "bad_count");
  for (const std::size_t bytes : {whole.size() / 2, whole.size() - 1}) {
    CHECK(code(whole.substr(0, bytes)) == "truncated");
  }
  // Bytes of the header: some changes matter and some do not, none kills the program.
  for (std::size_t at = 0; at < 1000; at += 97) {
    std::string bytes = whole;
    bytes[at] = static_cast<char>(bytes[at] ^ 0x15);
    program::write_file(dir / "m.gguf", bytes);
    const auto o = run(measuring({"--json", "-q", "--chunks", "2", "-m", dir / "m.gguf"}));
    CAPTURE(at);
    CHECK((o.exit_code == 0 || o.exit_code == 1));
    CHECK(json::accept(o.out));
  }
  CHECK(error_code({"--json", "-m", BQ_MODEL, "-f", dir / "missing.txt"}) == "io");
  CHECK(error_code({"--json", "-m", BQ_MODEL, "-f", dir.path().string()}) == "not_a_file");
  program::write_file(dir / "short.txt", "Too short.");
  CHECK(error_code({"--json", "-m", BQ_MODEL, "-f", dir / "short.txt"}) == "out_of_range");
  CHECK(error_code({"--json", "-m", BQ_MODEL, "-f", dir / "short.txt", "--kl-divergence-base", dir / "short.txt"}) ==
        "same_file");
  CHECK(error_code({"--json", "--compare", BQ_MODEL, "-f", dir / "short.txt", "--plot", dir / "short.txt"}) ==
        "same_file");
}

TEST_CASE("bq-perplexity: a base file appears whole or not at all") {
  const program::scratch dir;
  program::write_file(dir / "base", "precious");
  const words write = with_model({"--json", "--kl-divergence-base", dir / "base"});
  SUBCASE("Ctrl-C") { CHECK(program::run_and_interrupt(write, "[").exit_code != 0); }
  SUBCASE("SIGKILL") { program::run_and_kill(write); }
  SUBCASE("a full disk") {
    const auto o = program::run_with_file_limit(write, 100000);
    CHECK(o.exit_code == 1);
    CHECK(json::parse(o.out).contains("error"));
  }
  SUBCASE("no such folder, found before any work") {
    const auto o = run(with_model({"--kl-divergence-base", dir / "nowhere/base"}));
    CHECK(o.exit_code == 1);
    CHECK(o.err.find("nowhere") != std::string::npos);
    CHECK(o.err.find("PPL") == std::string::npos);
  }
  CHECK(dir.files() == words{"base"});
  CHECK(program::read_file(dir / "base") == "precious");
}

TEST_CASE("bq-perplexity: command lines that make no sense end with 2 and say why") {
  for (const words& bad : {words{}, words{"-m", BQ_MODEL}, words{"-f", BQ_TEST_TEXT}, words{"--compare", BQ_MODEL},
                           with_model({"--kl-divergence"}), with_model({"--base-format", "f64"}),
                           with_model({"-b", "0"}), with_model({"--no-such-option"})}) {
    const auto o = run(bad);
    CAPTURE(bad.size());
    CHECK(o.exit_code == 2);
    CHECK(o.out.empty());
    CHECK_FALSE(o.err.empty());
  }
  CHECK(run({"--help"}).exit_code == 0);
}
