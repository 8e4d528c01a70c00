// bq-quantize's main job on a small model: every target, the same bytes whatever the threads and the memory, splits and
// merges, what the output carries, and the JSON that programs read.
#include <doctest/doctest.h>

#include <blockquant/gguf.hpp>
#include <blockquant/quantize.hpp>
#include <nlohmann/json.hpp>

#include "program.hpp"

using nlohmann::json;
using program::run;

namespace {

std::string quantized(const program::scratch& dir, const std::string& name, std::vector<std::string> arguments) {
  const auto o = run(arguments);
  INFO(o.err);
  REQUIRE(o.exit_code == 0);
  return program::read_file(dir / name);
}

std::vector<std::byte> tensor_bytes(const bq::gguf::model& m, const bq::gguf::tensor& t) {
  std::vector<std::byte> bytes(t.bytes);
  m.read(t, 0, bytes);
  return bytes;
}

// The same tensors with the same bytes, in the same order.
void check_same_tensors(const std::string& a_path, const std::string& b_path) {
  const auto a = bq::gguf::model::open(a_path), b = bq::gguf::model::open(b_path);
  REQUIRE(a.tensors().size() == b.tensors().size());
  for (std::size_t i = 0; i < a.tensors().size(); ++i) {
    CHECK(a.tensors()[i].name == b.tensors()[i].name);
    CHECK(a.tensors()[i].type_id == b.tensors()[i].type_id);
    CHECK(tensor_bytes(a, a.tensors()[i]) == tensor_bytes(b, b.tensors()[i]));
  }
}

}  // namespace

TEST_CASE("every target is written, verifies, and says what it is") {
  const program::scratch dir;
  program::write_model(dir / "in.gguf");
  const auto types = json::parse(run({"types", "--json"}).out);
  CHECK(types.size() > 20);
  for (const auto& type : types) {
    const std::string name = type["name"];
    INFO(name);
    const auto dry = run({"--dry-run", "--json", dir / "in.gguf", name});
    REQUIRE(dry.exit_code == 0);
    const auto plan = json::parse(dry.out);
    const bool needs_importance = !plan["refusals"].empty();
    const auto o = run({"-q", "--json", dir / "in.gguf", dir / "out.gguf", name});
    if (needs_importance) {
      CHECK(o.exit_code == 1);
      continue;
    }
    INFO(o.err);
    REQUIRE(o.exit_code == 0);
    const auto result = json::parse(o.out);
    CHECK(std::filesystem::file_size(dir / "out.gguf") == result["file_size"]);
    for (std::size_t i = 0; i < plan["tensors"].size(); ++i) {
      for (const char* key : {"name", "from", "to", "bytes_in", "bytes_out"}) {
        CHECK(plan["tensors"][i][key] == result["tensors"][i][key]);
      }
    }
    const auto model = bq::gguf::model::open(dir / "out.gguf");
    CHECK(model.metadata().require_uint("general.quantization_version") == 2);
    CHECK(model.metadata().require_uint("general.file_type") == type["file_type"]);
    CHECK(model.metadata().require_string("blockquant.recipe").find(name) != std::string_view::npos);
    CHECK(model.metadata().require_string("general.name") == "test");
    const auto check = json::parse(run({"verify", "-q", "--json", dir / "out.gguf"}).out);
    CHECK(check["ok"] == true);
    CHECK(check["digests"] == "xxh64");
  }
}

TEST_CASE("the announced file size is the real one") {
  const program::scratch dir;
  program::write_model(dir / "in.gguf");
  const auto plan = json::parse(run({"--dry-run", "--json", dir / "in.gguf", "Q4_K_M"}).out);
  quantized(dir, "out.gguf", {"-q", dir / "in.gguf", dir / "out.gguf", "Q4_K_M"});
  CHECK(std::filesystem::file_size(dir / "out.gguf") == plan["file_size"]);
}

TEST_CASE("bytes do not depend on threads or memory") {
  const program::scratch dir;
  program::write_model(dir / "in.gguf");
  for (const char* type : {"Q4_K_M", "Q4_0", "IQ4_XS"}) {
    const auto expected = quantized(dir, "out.gguf", {"-q", "-t", "1", dir / "in.gguf", dir / "out.gguf", type});
    for (const char* threads : {"2", "7"}) {
      CHECK(quantized(dir, "out.gguf", {"-q", "-t", threads, dir / "in.gguf", dir / "out.gguf", type}) == expected);
    }
    CHECK(quantized(dir, "out.gguf",
                    {"-q", "-t", "2", "--max-memory", "40K", dir / "in.gguf", dir / "out.gguf", type}) == expected);
  }
}

TEST_CASE("a model can be split and merged without loss") {
  const program::scratch dir;
  program::write_model(dir / "in.gguf");
  REQUIRE(run({"-q", "--split-max-tensors", "4", dir / "in.gguf", dir / "part.gguf", "COPY"}).exit_code == 0);
  const auto files = dir.files();
  CHECK(files.size() == 5);
  check_same_tensors(dir / "in.gguf", dir / "part-00001-of-00004.gguf");

  SUBCASE("by any part") {
    REQUIRE(run({"-q", "--merge", dir / "part-00003-of-00004.gguf", dir / "merged.gguf"}).exit_code == 0);
    check_same_tensors(dir / "in.gguf", dir / "merged.gguf");
    CHECK(bq::gguf::model::open(dir / "merged.gguf").metadata().find("split.count") == nullptr);
  }
  SUBCASE("by all parts, as a shell expands them") {
    std::vector<std::string> arguments{"-q", "--merge"};
    for (const auto& f : files) {
      if (f.starts_with("part-")) arguments.push_back(dir / f);
    }
    SUBCASE("with the output last") {
      arguments.push_back(dir / "merged.gguf");
      CHECK(run(arguments).exit_code == 0);
      check_same_tensors(dir / "in.gguf", dir / "merged.gguf");
    }
    SUBCASE("with the output forgotten: the last part is not overwritten") {
      const auto before = program::read_file(arguments.back());
      CHECK(run(arguments).exit_code == 1);
      CHECK(program::read_file(arguments.back()) == before);
    }
    SUBCASE("with a stranger among them") {
      arguments.insert(arguments.begin() + 3, dir / "in.gguf");
      arguments.push_back(dir / "merged.gguf");
      const auto o = run(arguments);
      CHECK(o.exit_code == 1);
      CHECK(o.err.find("in.gguf") != std::string::npos);
    }
  }
  SUBCASE("quantised part by part") {
    REQUIRE(run({"-q", "--keep-split", dir / "part-00001-of-00004.gguf", dir / "small.gguf", "Q8_0"}).exit_code == 0);
    REQUIRE(run({"-q", dir / "in.gguf", dir / "whole.gguf", "Q8_0"}).exit_code == 0);
    CHECK(std::filesystem::exists(dir / "small-00004-of-00004.gguf"));
    check_same_tensors(dir / "whole.gguf", dir / "small-00002-of-00004.gguf");
    CHECK(run({"verify", "-q", dir / "small-00001-of-00004.gguf"}).exit_code == 0);
  }
  SUBCASE("by size, with an empty first part") {
    REQUIRE(run({"-q", "--split-max-size", "300K", "--no-tensor-first-split", dir / "in.gguf", dir / "sized", "COPY"})
                .exit_code == 0);
    std::size_t parts = 0;
    for (const auto& f : dir.files()) {
      if (!f.starts_with("sized-")) continue;
      ++parts;
      CHECK(std::filesystem::file_size(dir / f) <= 300000);
    }
    CHECK(parts > 2);
  }
}

TEST_CASE("a report tells the error of every tensor") {
  const program::scratch dir;
  program::write_model(dir / "in.gguf");
  REQUIRE(run({"-q", "--report", dir / "report.json", dir / "in.gguf", dir / "out.gguf", "Q4_0", "3"}).exit_code == 0);
  const auto report = json::parse(program::read_file(dir / "report.json"));
  const auto in = bq::gguf::model::open(dir / "in.gguf"), out = bq::gguf::model::open(dir / "out.gguf");
  double error2 = 0, weight2 = 0;
  for (const auto& t : report["tensors"]) {
    if (!t.contains("rms")) continue;
    const auto &a = *in.find(t["name"].get<std::string>()), &b = *out.find(t["name"].get<std::string>());
    const auto n = static_cast<std::size_t>(a.elements());
    std::vector<float> x(n), y(n);
    bq::dequantize(static_cast<bq::type>(a.type_id), tensor_bytes(in, a), a.rows(), a.cols(), x);
    bq::dequantize(static_cast<bq::type>(b.type_id), tensor_bytes(out, b), b.rows(), b.cols(), y);
    double e2 = 0, w2 = 0, largest = 0, worst = 0;
    std::int64_t worst_row = -1;
    for (std::int64_t r = 0; r < a.rows(); ++r) {
      double row_e2 = 0, row_w2 = 0;
      for (std::int64_t c = 0; c < a.cols(); ++c) {
        const auto i = static_cast<std::size_t>(r * a.cols() + c);
        const double d = static_cast<double>(y[i]) - static_cast<double>(x[i]);
        row_e2 += d * d;
        row_w2 += static_cast<double>(x[i]) * static_cast<double>(x[i]);
        largest = std::max(largest, std::abs(d));
      }
      if (std::sqrt(row_e2 / row_w2) > worst) {
        worst = std::sqrt(row_e2 / row_w2);
        worst_row = r;
      }
      e2 += row_e2;
      w2 += row_w2;
    }
    CHECK(t["rms"].get<double>() == doctest::Approx(std::sqrt(e2 / w2)).epsilon(1e-9));
    CHECK(t["max_error"].get<double>() == doctest::Approx(largest));
    CHECK(t["worst_row"] == worst_row);
    error2 += e2;
    weight2 += w2;
  }
  CHECK(weight2 > 0);
  CHECK(report["rms"].get<double>() == doctest::Approx(std::sqrt(error2 / weight2)).epsilon(1e-9));
}

TEST_CASE("rules, recipes and metadata reach the file") {
  const program::scratch dir;
  program::write_model(dir / "in.gguf");
  program::write_file(dir / "my.recipe", "# a test\ntype = Q4_0\nattn_[kv] = q8_0\n");
  REQUIRE(run({"-q", "--recipe", dir / "my.recipe", "--tensor-type", "attn_k=q5_1", "--override-kv",
               "test.answer=int:42", dir / "in.gguf", dir / "out.gguf"})
              .exit_code == 0);
  const auto m = bq::gguf::model::open(dir / "out.gguf");
  const auto type_of = [&](const char* name) { return static_cast<bq::type>(m.find(name)->type_id); };
  CHECK(type_of("blk.0.attn_k.weight") == bq::type::q5_1);
  CHECK(type_of("blk.1.attn_v.weight") == bq::type::q8_0);
  CHECK(type_of("blk.1.ffn_up.weight") == bq::type::q4_0);
  CHECK(m.metadata().require_uint("test.answer") == 42);
  program::write_file(dir / "again.recipe", std::string(m.metadata().require_string("blockquant.recipe")));
  REQUIRE(run({"-q", "--recipe", dir / "again.recipe", dir / "in.gguf", dir / "again.gguf"}).exit_code == 0);
  check_same_tensors(dir / "out.gguf", dir / "again.gguf");
}

TEST_CASE("inspect shows what is in the file") {
  const program::scratch dir;
  program::write_model(dir / "in.gguf");
  const auto shown = json::parse(run({"inspect", "--json", dir / "in.gguf"}).out);
  CHECK(shown["metadata"]["general.architecture"]["value"] == "llama");
  CHECK(shown["tensors"].size() == 16);
  CHECK(shown["tensors"][0]["name"] == "token_embd.weight");
  CHECK(shown["tensors"][0]["shape"] == json::array({256, 128}));
  CHECK(shown["types"]["f16"]["tensors"] == 13);
  const auto text = run({"inspect", dir / "in.gguf"});
  CHECK(text.exit_code == 0);
  CHECK(text.out.find("blk.1.attn_output.weight") != std::string::npos);
}
