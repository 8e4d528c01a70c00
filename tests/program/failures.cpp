// What must not go wrong: full disks, killed processes, input as output, damaged and hostile input, shapes that do not
// fit, memory. Whatever happens, inputs stay as they were, nothing half-written remains, and the message names the
// cause.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <blockquant/gguf.hpp>
#include <nlohmann/json.hpp>

#include "program.hpp"

using nlohmann::json;
using program::run;

namespace {

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

void flip_byte(const std::string& path, std::uint64_t at) {
  auto bytes = program::read_file(path);
  bytes[at] = static_cast<char>(bytes[at] ^ 0x40);
  program::write_file(path, bytes);
}

}  // namespace

TEST_CASE("the output must not be the input, under any name") {
  const program::scratch dir;
  program::write_model(dir / "in.gguf");
  const auto before = program::read_file(dir / "in.gguf");
  std::filesystem::create_hard_link(dir / "in.gguf", dir / "hard.gguf");
  std::filesystem::create_symlink(dir / "in.gguf", dir / "soft.gguf");
  for (const char* out : {"in.gguf", "hard.gguf", "soft.gguf", "./in.gguf"}) {
    INFO(out);
    const auto o = run({"-q", "--json", dir / "in.gguf", dir / out, "Q8_0"});
    CHECK(o.exit_code == 1);
    CHECK(json::parse(o.out)["error"]["code"] == "same_file");
    CHECK(program::read_file(dir / "in.gguf") == before);
  }
  CHECK(dir.files().size() == 3);
}

TEST_CASE("a full disk is reported with numbers and leaves nothing behind") {
  const program::scratch dir;
  program::write_model(dir / "in.gguf");
  const auto o = program::run_with_file_limit({"-q", dir / "in.gguf", dir / "out.gguf", "Q8_0"}, 100000);
  CHECK(o.exit_code == 1);
  CHECK(contains(o.err, "out.gguf"));
  CHECK(dir.files() == std::vector<std::string>{"in.gguf"});
}

TEST_CASE("an existing output survives a failure") {
  const program::scratch dir;
  program::write_model(dir / "in.gguf");
  program::write_file(dir / "out.gguf", "precious");
  CHECK(program::run_with_file_limit({"-q", dir / "in.gguf", dir / "out.gguf", "Q8_0"}, 100000).exit_code == 1);
  CHECK(program::read_file(dir / "out.gguf") == "precious");
}

TEST_CASE("a killed process leaves nothing behind") {
  const program::scratch dir;
  program::write_model(dir / "in.gguf", {.cols = 1024, .vocabulary = 256, .layers = 4});
  program::run_and_kill({"-t", "1", dir / "in.gguf", dir / "out.gguf", "IQ4_NL"});
  CHECK(dir.files() == std::vector<std::string>{"in.gguf"});
}

TEST_CASE("inputs that are no models are named") {
  const program::scratch dir;
  const auto code = [&](const std::string& in) {
    const auto o = run({"-q", "--json", in, dir / "out.gguf", "Q8_0"});
    CHECK(o.exit_code == 1);
    return json::parse(o.out)["error"]["code"].get<std::string>();
  };
  CHECK(code(dir / "missing.gguf") == "io");
  CHECK(code(dir.path().string()) == "not_a_file");
  program::write_file(dir / "text.gguf", "hello, this is no model at all, only text");
  CHECK(code(dir / "text.gguf") == "not_gguf");
  program::write_model(dir / "in.gguf");
  const auto whole = program::read_file(dir / "in.gguf");
  program::write_file(dir / "cut.gguf", whole.substr(0, whole.size() / 2));
  CHECK(code(dir / "cut.gguf") == "truncated");
  CHECK_FALSE(std::filesystem::exists(dir / "out.gguf"));
}

TEST_CASE("a missing output folder is found before any work") {
  const program::scratch dir;
  program::write_model(dir / "in.gguf");
  const auto o = run({"-q", dir / "in.gguf", dir / "nowhere/out.gguf", "Q8_0"});
  CHECK(o.exit_code == 1);
  CHECK(contains(o.err, "nowhere"));
}

TEST_CASE("verify names the first damaged tensor") {
  const program::scratch dir;
  program::write_model(dir / "in.gguf");
  REQUIRE(run({"-q", dir / "in.gguf", dir / "out.gguf", "Q8_0"}).exit_code == 0);
  const auto model = bq::gguf::model::open(dir / "out.gguf");
  flip_byte(dir / "out.gguf", model.find("blk.1.attn_q.weight")->offset + 1000);
  flip_byte(dir / "out.gguf", model.find("blk.1.ffn_up.weight")->offset + 7);
  const auto o = run({"verify", "-q", "--json", dir / "out.gguf"});
  CHECK(o.exit_code == 1);
  CHECK(json::parse(o.out)["findings"][0]["tensor"] == "blk.1.attn_q.weight");
  CHECK(run({"verify", "-q", dir / "in.gguf"}).exit_code == 0);
}

TEST_CASE("a weight that is not finite is named by tensor, row, column and byte") {
  const program::scratch dir;
  program::write_model(dir / "in.gguf");
  const auto offset = bq::gguf::model::open(dir / "in.gguf").find("blk.0.attn_k.weight")->offset + 2 * (256 * 3 + 17);
  auto bytes = program::read_file(dir / "in.gguf");
  bytes[offset] = 0, bytes[offset + 1] = 0x7c;
  program::write_file(dir / "in.gguf", bytes);
  const auto o = run({"-q", "--json", dir / "in.gguf", dir / "out.gguf", "Q4_K"});
  CHECK(o.exit_code == 1);
  const auto e = json::parse(o.out)["error"];
  CHECK(e["code"] == "not_finite");
  CHECK(e["subject"] == "blk.0.attn_k.weight");
  CHECK(e["offset"] == offset);
  CHECK(contains(e["message"], "row 3, column 17"));
  CHECK(dir.files() == std::vector<std::string>{"in.gguf"});
  const auto checked = run({"verify", "-q", "--json", dir / "in.gguf"});
  CHECK(checked.exit_code == 1);
  CHECK(json::parse(checked.out)["findings"][0]["offset"] == offset);
}

TEST_CASE("shapes that do not fit: told before, refused on demand") {
  const program::scratch dir;
  program::write_model(dir / "in.gguf", {.cols = 320});
  const auto plan = json::parse(run({"--dry-run", "--json", dir / "in.gguf", "Q4_K_M"}).out);
  CHECK(plan["fallback"]["tensors"] == 13);
  const auto refused = run({"--no-fallback", "-q", dir / "in.gguf", dir / "out.gguf", "Q4_K_M"});
  CHECK(refused.exit_code == 1);
  CHECK(contains(refused.err, "320"));
  CHECK_FALSE(std::filesystem::exists(dir / "out.gguf"));
  CHECK(run({"-q", dir / "in.gguf", dir / "out.gguf", "Q4_K_M"}).exit_code == 0);
  CHECK(run({"--no-fallback", "--pure", "-q", dir / "in.gguf", dir / "out.gguf", "Q4_0"}).exit_code == 0);
}

TEST_CASE("quantised weights are not quantised again unasked") {
  const program::scratch dir;
  program::write_model(dir / "in.gguf");
  REQUIRE(run({"-q", dir / "in.gguf", dir / "q8.gguf", "Q8_0"}).exit_code == 0);
  CHECK(run({"-q", dir / "q8.gguf", dir / "q4.gguf", "Q4_0"}).exit_code != 0);
  CHECK(run({"-q", "--allow-requantize", dir / "q8.gguf", dir / "q4.gguf", "Q4_0"}).exit_code == 0);
}

TEST_CASE("a command line that makes no sense ends with 2 and says why") {
  const program::scratch dir;
  program::write_model(dir / "in.gguf");
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{},
                                             {"--no-such-option"},
                                             {dir / "in.gguf"},
                                             {dir / "in.gguf", dir / "o.gguf", "Q4_0", "2", "x"},
                                             {dir / "in.gguf", dir / "o.gguf", "Q4_0", "many"},
                                             {"--max-memory", "x", dir / "in.gguf", dir / "o.gguf", "Q4_0"},
                                             {"--max-memory", "1K", dir / "in.gguf", dir / "o.gguf", "Q4_0"},
                                             {"--override-kv", "a=b", dir / "in.gguf", dir / "o.gguf", "Q4_0"}}) {
    const auto o = run(words);
    CHECK(o.exit_code == 2);
    CHECK_FALSE(o.err.empty());
  }
  CHECK(run({"--help"}).exit_code == 0);
  CHECK(dir.files() == std::vector<std::string>{"in.gguf"});
}

// AddressSanitizer keeps what is freed.
#ifdef __SANITIZE_ADDRESS__
constexpr bool memory_is_measurable = false;
#else
constexpr bool memory_is_measurable = true;
#endif

TEST_CASE("anonymous memory stays below 64 MiB and 16 MiB per thread, whatever the file's size" *
          doctest::skip(!memory_is_measurable)) {
  const program::scratch dir;
  // A sparse file of half a GiB: one f16 matrix of zeros.
  bq::gguf::tensor_shape t;
  t.name = "blk.0.ffn_up.weight";
  t.type_id = static_cast<std::uint32_t>(bq::type::f16);
  t.n_dims = 2;
  t.ne = {4096, 65536, 1, 1};
  t.bytes = 2 * static_cast<std::uint64_t>(t.elements());
  bq::gguf::metadata meta;
  meta.set("general.architecture", bq::gguf::value::of_string("llama"));
  {
    bq::gguf::writer writer(dir / "in.gguf", meta, {t});
    std::vector<std::byte> zeros(16u << 20);
    for (std::uint64_t at = 0; at < t.bytes; at += zeros.size()) writer.write(0, at, zeros);
    writer.commit();
  }
  const auto o =
      program::run_watched({"-q", "-t", "2", "--report", dir / "r.json", dir / "in.gguf", dir / "out.gguf", "Q8_0"});
  CHECK(o.exit_code == 0);
  CHECK(o.peak_anonymous > 0);
  CHECK(o.peak_anonymous < (64u << 20) + 2 * (16u << 20));
}
