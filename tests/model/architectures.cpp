// Every architecture on tiny models (tiny_model.hpp) against llama.cpp's logits for the same files, computed with f32
// weights, keys and values and without flash attention. tiny.golden: for each of tiny_models, the logits f32[96] at the
// positions below, of tokens (37 i + 11) mod 96.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>
#include <vector>

#include "../gguf/scratch.hpp"
#include "model/evaluator.hpp"
#include "tiny_model.hpp"

namespace {

constexpr std::int64_t golden_positions[] = {0, 1, 5, 17, 39};
constexpr int tokens = 40;

}  // namespace

TEST_CASE("logits of tiny models of every architecture are llama.cpp's") {
  const test::scratch folder;
  std::ifstream golden(BQ_TINY_GOLDEN, std::ios::binary);
  std::vector<int> ids(tokens);
  for (int i = 0; i < tokens; ++i) ids[static_cast<std::size_t>(i)] = (37 * i + 11) % test::tiny_vocabulary;
  for (const std::string_view name : test::tiny_models) {
    INFO(std::string(name));
    test::tiny_model(name).write(folder / "model.gguf");
    const bq_llm::model_file file(folder / "model.gguf");
    const bq_llm::decoder model = bq_llm::describe(file);
    REQUIRE(model.vocabulary == test::tiny_vocabulary);
    bq_llm::kv_cache cache(model, {.keys = bq::type::f32, .values = bq::type::f32});
    bq_llm::evaluator run(model, {});
    const bq_llm::batch_part part{0, ids};
    std::vector<float> logits(static_cast<std::size_t>(tokens) * test::tiny_vocabulary);
    run.logits(run.run({&part, 1}, cache), logits);
    double worst = 0;
    for (const std::int64_t position : golden_positions) {
      std::vector<float> expected(test::tiny_vocabulary);
      golden.read(reinterpret_cast<char*>(expected.data()),
                  static_cast<std::streamsize>(expected.size() * sizeof(float)));
      REQUIRE(golden);
      for (std::size_t i = 0; i < expected.size(); ++i) {
        const float ours = logits[static_cast<std::size_t>(position) * test::tiny_vocabulary + i];
        worst = std::max(worst, std::fabs(static_cast<double>(ours) - expected[i]));
      }
    }
    // llama.cpp reads GELU from a table of binary16.
    CHECK(worst < (model.activation == bq::activation::gelu ? 4e-3 : 4e-5));
  }
}
