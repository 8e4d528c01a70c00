// What a plan says beyond the types: sizes, fallbacks, refusals, warnings, importance, and its two forms in print.
#include "plan.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "../error_code.hpp"
#include "described_model.hpp"

using namespace bq_quantize;
using bq_quantize_test::described_model;
using bq_quantize_test::imatrix_file;
using bq_quantize_test::parse_model;
using test::code_of;
using test::error_of;

namespace {

constexpr const char* small_llama =
    "meta general.architecture str llama\n"
    "meta llama.block_count u32 2\n"
    "tensor token_embd.weight f16 512x100\n"
    "tensor output_norm.weight f32 512\n"
    "tensor output.weight f16 512x100\n"
    "tensor blk.*.attn_q.weight f16 512x512 0-1\n"
    "tensor blk.*.ffn_down.weight f16 320x512 0-1\n";

plan_options options_for(const char* target) {
  plan_options o;
  o.target = &find_target(target);
  return o;
}

plan make(const described_model& m, const plan_options& o, const imatrix* importance = nullptr) {
  return make_plan(m.metadata, m.tensors, o, importance);
}

const planned_tensor& get(const plan& p, const std::string& name) {
  const auto found =
      std::find_if(p.tensors.begin(), p.tensors.end(), [&](const auto& t) { return t.out.name == name; });
  REQUIRE_MESSAGE(found != p.tensors.end(), name);
  return *found;
}

bool mentions(const std::vector<std::string>& lines, const std::string& part) {
  return std::any_of(lines.begin(), lines.end(), [&](const auto& l) { return l.find(part) != l.npos; });
}

}  // namespace

TEST_CASE("a plan adds up") {
  const described_model m = parse_model(small_llama);
  const plan p = make(m, options_for("Q4_K_S"));
  REQUIRE(p.tensors.size() == m.tensors.size());
  for (std::size_t i = 0; i < p.tensors.size(); ++i) CHECK(p.tensors[i].source == i);
  CHECK(p.parameters == 2 * 51200 + 512 + 2 * 262144 + 2 * 163840);
  CHECK(p.bytes_in == 2 * (p.parameters - 512) + 4 * 512);
  const planned_tensor& q = get(p, "blk.1.attn_q.weight");
  CHECK(q.out.bytes == 512 * 2 * 144);
  CHECK(q.bytes_in == 512 * 512 * 2);
  CHECK(q.converts());
  CHECK(q.reason == "mix");
  const planned_tensor& norm = get(p, "output_norm.weight");
  CHECK_FALSE(norm.converts());
  CHECK(norm.reason == "kept: 1-D");
  CHECK(norm.out.bytes == norm.bytes_in);
  CHECK(p.bytes_out == 100 * 2 * 144 + 2048 + 100 * 2 * 210 + 2 * 512 * 2 * 144 + 2 * 512 * 10 * 22);
  CHECK(p.refusals.empty());
  CHECK(p.warnings.empty());
}

TEST_CASE("fallbacks are counted, explained, and refused when asked to") {
  const described_model m = parse_model(small_llama);
  plan_options o = options_for("Q4_K_S");
  const plan p = make(m, o);
  CHECK(p.fallback_tensors == 2);
  CHECK(p.fallback_parameters == 2 * 163840);
  CHECK(get(p, "blk.0.ffn_down.weight").fell_back_from == bq::type::q4_K);
  CHECK(get(p, "blk.0.ffn_down.weight").reason == "mix; fallback from q4_K: 320 % 256 != 0");
  o.no_fallback = true;
  const auto e = error_of([&] { make(m, o); });
  REQUIRE(e);
  CHECK(e->code == bq::errc::bad_shape);
  CHECK(e->message.find("2 of 7 tensors (34.3 %") != std::string::npos);
  CHECK(e->found == "blk.0.ffn_down.weight (320 columns), blk.1.ffn_down.weight (320 columns)");
  o.target = &find_target("Q4_0");
  o.recipe.pure = true;
  CHECK(make(m, o).fallback_tensors == 0);
}

TEST_CASE("--token-embedding-type and --output-tensor-type fall back as well") {
  const described_model m = parse_model(
      "meta general.architecture str llama\ntensor token_embd.weight f16 96x10\ntensor output.weight f16 96x10\n");
  plan_options o = options_for("Q8_0");
  o.recipe.token_embedding_type = bq::type::q4_K;
  o.recipe.output_tensor_type = bq::type::q6_K;
  const plan p = make(m, o);
  CHECK(get(p, "token_embd.weight").out.type_id == static_cast<std::uint32_t>(bq::type::q5_0));
  CHECK(get(p, "output.weight").out.type_id == static_cast<std::uint32_t>(bq::type::q8_0));
  CHECK(p.fallback_tensors == 2);
}

TEST_CASE("quantised sources need --allow-requantize") {
  const described_model m = parse_model(
      "meta general.architecture str llama\ntensor blk.*.attn_q.weight q8_0 256x256 0-2\n"
      "tensor blk.*.attn_k.weight q4_K 256x256 0-2\n");
  plan_options o = options_for("Q4_K_S");
  const plan p = make(m, o);
  REQUIRE(p.refusals.size() == 1);
  CHECK(p.refusals[0].message == "3 tensors are quantised already");
  CHECK(code_of([&] { require_runnable(p); }) == bq::errc::invalid_argument);
  o.allow_requantize = true;
  CHECK_FALSE(code_of([&] { require_runnable(make(m, o)); }));
  CHECK_FALSE(code_of([&] { require_runnable(make(m, options_for("COPY"))); }));
}

TEST_CASE("types of other programs are copied untouched") {
  described_model m = parse_model(small_llama);
  m.tensors[3].type_id = 4711;
  m.tensors[3].bytes = 12345;
  m.tensors[4].type_id = static_cast<std::uint32_t>(bq::type::iq2_xxs);
  const plan p = make(m, options_for("Q4_K_M"));
  for (const std::size_t i : {3, 4}) {
    CHECK_FALSE(p.tensors[i].converts());
    CHECK(p.tensors[i].out.bytes == m.tensors[i].bytes);
    CHECK(p.tensors[i].reason == "kept: type not decodable");
  }
  CHECK(p.refusals.empty());
}

TEST_CASE("rules decide, and those that decide nothing are reported") {
  const described_model m = parse_model(small_llama);
  plan_options o = options_for("Q4_K_M");
  o.recipe.rules = {parse_rule("blk\\.0=q8_0"), parse_rule("attn_v=q8_0")};
  const plan p = make(m, o);
  CHECK(get(p, "blk.0.attn_q.weight").out.type_id == static_cast<std::uint32_t>(bq::type::q8_0));
  CHECK(get(p, "blk.0.attn_q.weight").reason == "rule blk\\.0 (--tensor-type)");
  CHECK(p.warnings.size() == 1);
  CHECK(mentions(p.warnings, "attn_v"));
  o.target = &find_target("F16");
  CHECK(mentions(make(m, o).warnings, "F16 does not look at rules"));
}

TEST_CASE("importance is matched by name and shape") {
  const described_model m = parse_model(small_llama);
  const plan_options o = options_for("Q4_K_S");
  const std::vector<float> of_512(512, 1.0f), of_320(320, 1.0f);
  SUBCASE("covered, uncovered and ignored") {
    const imatrix_file file(std::map<std::string, std::vector<float>>{
        {"blk.0.attn_q.weight", of_512}, {"blk.0.ffn_down.weight", of_320}, {"token_embd.weight", {1.0f}}});
    const imatrix importance = imatrix::open(file.path());
    const plan p = make(m, o, &importance);
    CHECK(get(p, "blk.0.attn_q.weight").has_importance);
    CHECK(get(p, "blk.0.ffn_down.weight").has_importance);
    CHECK_FALSE(get(p, "blk.1.attn_q.weight").has_importance);
    CHECK(p.uncovered == std::vector<std::string>{"output.weight", "blk.1.attn_q.weight", "blk.1.ffn_down.weight"});
    CHECK(mentions(p.warnings, "token_embd.weight"));
    CHECK(p.metadata.require_uint("quantize.imatrix.entries_count") == 3);
  }
  SUBCASE("another shape") {
    const imatrix_file file(std::map<std::string, std::vector<float>>{{"blk.0.attn_q.weight", of_320}});
    const imatrix importance = imatrix::open(file.path());
    const auto e = error_of([&] { make(m, o, &importance); });
    REQUIRE(e);
    CHECK(e->code == bq::errc::bad_importance);
    CHECK(e->subject == "blk.0.attn_q.weight");
    CHECK(e->found == "320");
  }
  SUBCASE("another model") {
    const imatrix_file file(std::map<std::string, std::vector<float>>{{"x", {1}}});
    const imatrix importance = imatrix::open(file.path());
    CHECK(mentions(make(m, o, &importance).warnings, "covers no tensor"));
  }
}

TEST_CASE("importance follows pruned layers by their old names, and has one row for each expert") {
  const described_model m = parse_model(
      "meta general.architecture str llama\nmeta llama.block_count u32 3\nmeta llama.expert_count u32 2\n"
      "tensor blk.*.ffn_up_exps.weight f16 256x4x2 0-2\n");
  const imatrix_file file(
      std::map<std::string, std::vector<float>>{{"blk.2.ffn_up_exps.weight", std::vector<float>(512, 1.0f)}});
  const imatrix importance = imatrix::open(file.path());
  plan_options o = options_for("Q4_K_M");
  o.prune_layers = {0};
  const plan p = make(m, o, &importance);
  REQUIRE(p.tensors.size() == 2);
  const planned_tensor& last = get(p, "blk.1.ffn_up_exps.weight");
  CHECK(last.has_importance);
  CHECK(last.importance_name == "blk.2.ffn_up_exps.weight");
  CHECK(p.uncovered == std::vector<std::string>{"blk.0.ffn_up_exps.weight"});
  CHECK(p.metadata.require_uint("llama.block_count") == 2);
}

TEST_CASE("types that are useless without importance need it") {
  const described_model m = parse_model(small_llama);
  const plan p = make(m, options_for("Q2_K_S"));
  CHECK(get(p, "blk.1.attn_q.weight").needs_importance);
  CHECK_FALSE(get(p, "token_embd.weight").needs_importance);
  CHECK(code_of([&] { require_runnable(p); }) == bq::errc::bad_importance);
  CHECK_FALSE(code_of([&] { require_runnable(make(m, options_for("Q2_K"))); }));
}

TEST_CASE("a model that does not say how many layers it has is counted") {
  const described_model m = parse_model("tensor blk.*.ffn_down.weight f16 256x256 0-15\n");
  const plan p = make(m, options_for("Q4_K_S"));
  CHECK(get(p, "blk.1.ffn_down.weight").out.type_id == static_cast<std::uint32_t>(bq::type::q5_K));
  CHECK(get(p, "blk.2.ffn_down.weight").out.type_id == static_cast<std::uint32_t>(bq::type::q4_K));
}

TEST_CASE("the announced file size is the size of the file") {
  const described_model m = parse_model(small_llama);
  for (const char* target : {"Q4_K_M", "Q8_0", "COPY"}) {
    const plan p = make(m, options_for(target));
    std::vector<bq::gguf::tensor_shape> shapes;
    for (const planned_tensor& t : p.tensors) shapes.push_back(t.out);
    const auto path = std::filesystem::temp_directory_path() / "bq-quantize-plan-test.gguf";
    const bq::gguf::writer writer(path.string(), p.metadata, shapes);
    CHECK(gguf_file_bytes(p.metadata, p.tensors) == writer.total_bytes());
  }
}

TEST_CASE("plans are printed for people and programs") {
  described_model m = parse_model(small_llama);
  m.tensors[5].name = "blk.0.ffn\n\xff.weight";
  plan_options o = options_for("Q4_K_M");
  o.recipe.rules = {parse_rule("nothing=q8_0")};
  const plan p = make(m, o);
  const std::string table = to_table(p);
  CHECK(table.find("blk.0.ffn\\x0a\\xff.weight") != std::string::npos);
  CHECK(table.find("fallback 2 of 7 tensors") != std::string::npos);
  CHECK(table.find("warning: rule nothing") != std::string::npos);

  const auto json = nlohmann::json::parse(to_json(p).dump());
  REQUIRE(json["tensors"].size() == 7);
  const auto& first = json["tensors"][0];
  CHECK(first["name"] == "token_embd.weight");
  CHECK(first["from"] == "f16");
  CHECK(first["to"] == "q4_K");
  CHECK(first["bytes_in"] == 102400);
  CHECK(first["bytes_out"] == 28800);
  CHECK(first["shape"] == nlohmann::json::array({512, 100}));
  CHECK(json["file_size"] == gguf_file_bytes(p.metadata, p.tensors));
  CHECK(json["fallback"]["tensors"] == 2);
  CHECK(json["types"]["f32"]["tensors"] == 1);
  CHECK(json["parameters"] == p.parameters);
  CHECK(json["warnings"].size() == 1);
}
