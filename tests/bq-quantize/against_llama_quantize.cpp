// Every mix on every described model gives every tensor the type that llama-quantize --dry-run gave it.
#include <doctest/doctest.h>

#include <filesystem>
#include <set>
#include <sstream>

#include "described_model.hpp"
#include "plan.hpp"

namespace {

using namespace bq_quantize;
using namespace bq_quantize_test;
namespace fs = std::filesystem;

struct run {
  plan_options options;
  bool has_importance = false;
};

run parse_run(const std::string& text) {
  std::istringstream in(text);
  std::string word;
  in >> word;
  run r;
  r.options.target = &find_target(word);
  recipe& recipe = r.options.recipe;
  const auto next = [&] {
    in >> word;
    return word;
  };
  while (in >> word) {
    if (word == "--imatrix") {
      r.has_importance = true;
      next();
    } else if (word == "--pure") {
      recipe.pure = true;
    } else if (word == "--leave-output-tensor") {
      recipe.leave_output_tensor = true;
    } else if (word == "--keep-split") {
      r.options.keep_split = true;
    } else if (word == "--output-tensor-type") {
      recipe.output_tensor_type = parse_type(next());
    } else if (word == "--token-embedding-type") {
      recipe.token_embedding_type = parse_type(next());
    } else if (word == "--tensor-type") {
      recipe.rules.push_back(parse_rule(next()));
    } else if (word == "--prune-layers") {
      r.options.prune_layers = parse_layers(next());
    } else if (word == "--override-kv") {
      r.options.overrides.push_back(parse_override(next()));
    } else {
      FAIL("an option that the test does not know: " << word);
    }
  }
  return r;
}

std::string type_name(std::uint32_t id) { return bq::gguf::label(id).name; }

void check_run(const described_model& model, const answer& expected, const std::string& text,
               const imatrix& some_importance) {
  CAPTURE(text);
  const run r = parse_run(text);
  const imatrix* importance = r.has_importance ? &some_importance : nullptr;
  if (expected.refused) {
    CHECK_THROWS_AS(make_plan(model.metadata, model.tensors, r.options, importance), bq::error);
    return;
  }
  const plan p = make_plan(model.metadata, model.tensors, r.options, importance);
  std::set<std::string> names;
  for (const planned_tensor& t : p.tensors) {
    names.insert(t.out.name);
    const auto found = expected.types.find(t.out.name);
    const std::string type = found != expected.types.end() ? found->second : type_name(t.from);
    if (type_name(t.out.type_id) != type)
      FAIL_CHECK(t.out.name << " is " << type_name(t.out.type_id) << " (" << t.reason << "), should be " << type);
  }
  for (const auto& row : expected.types) CHECK_MESSAGE(names.count(row.first), row.first);
}

}  // namespace

TEST_CASE("types equal those of llama-quantize") {
  const fs::path data = BQ_QUANTIZE_TEST_DATA;
  const imatrix_file file(std::map<std::string, std::vector<float>>{{"x", {1.0f}}});
  const imatrix importance = imatrix::open(file.path());
  std::size_t models = 0, runs = 0;
  for (const auto& entry : fs::directory_iterator(data / "models")) {
    const std::string name = entry.path().filename().string();
    CAPTURE(name);
    const described_model model = read_model(entry.path().string());
    ++models;
    for (const answer& expected : read_answers((data / "expected" / name).string()))
      for (const std::string& text : expected.runs) {
        check_run(model, expected, text, importance);
        ++runs;
      }
  }
  CHECK(models >= 26);
  CHECK(runs >= 900);
}
