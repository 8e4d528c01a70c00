// Importance matrices: sums of what is observed, both file forms, merging, statistics.
#include "imatrix/measured.hpp"

#include <doctest/doctest.h>

#include <blockquant/error.hpp>
#include <cmath>
#include <fstream>
#include <map>

#include "../gguf/scratch.hpp"
#include "collect.hpp"
#include "statistics.hpp"

using bq_llm::imatrix;
using bq_llm::measured_imatrix;

namespace {

measured_imatrix example() {
  measured_imatrix m{.chunk_size = 4, .datasets = {"text"}};
  const float x[] = {1, 2, 3, 0, 1, -1, 2, 2, 0, 1, 1, 1};
  m.add("blk.0.attn_q.weight", x, 4);
  m.add("blk.0.attn_q.weight", x, 4);
  m.weights["blk.1.experts.weight"] = {{2, 4, 6, 8, 0, 0}, {2, 4, 0}};
  return m;
}

}  // namespace

TEST_CASE("squares are summed column by column") {
  const measured_imatrix m = example();
  const auto& w = m.weights.at("blk.0.attn_q.weight");
  CHECK(w.sums == std::vector<double>{2 * (1 + 0 + 4 + 1), 2 * (4 + 1 + 4 + 1), 2 * (9 + 1 + 0 + 1)});
  CHECK(w.counts == std::vector<double>{8});
  CHECK(m.chunks() == 2);
}

TEST_CASE("both forms are read back as the quantiser does") {
  const test::scratch dir;
  bq_llm::write_gguf(example(), dir / "m.gguf");
  bq_llm::write_legacy(example(), dir / "m.dat");
  CHECK(dir.files() == 2);
  for (const char* name : {"m.gguf", "m.dat"}) {
    const imatrix read = imatrix::open(dir / name);
    CHECK(read.load("blk.0.attn_q.weight") == std::vector<float>{1.5f, 2.5f, 2.75f});
    CHECK(read.load("blk.1.experts.weight") == std::vector<float>{1, 2, 1.5f, 2, 1, 1});
    CHECK(read.datasets() == std::vector<std::string>{"text"});
    CHECK(read.chunks() == 2);
  }
}

TEST_CASE("merging adds sums and counts; matrices of other shapes are refused") {
  const test::scratch dir;
  bq_llm::write_gguf(example(), dir / "m.gguf");
  bq_llm::write_legacy(example(), dir / "m.dat");
  measured_imatrix twice{.chunk_size = 4};
  twice.add(imatrix::open(dir / "m.gguf"));
  twice.add(imatrix::open(dir / "m.gguf"));
  CHECK(twice.weights.at("blk.0.attn_q.weight").sums == std::vector<double>{24, 40, 44});
  CHECK(twice.weights.at("blk.0.attn_q.weight").counts == std::vector<double>{16});
  CHECK(twice.chunks() == 4);

  measured_imatrix legacy{.chunk_size = 4};
  legacy.add(imatrix::open(dir / "m.dat"));
  CHECK(legacy.weights.at("blk.0.attn_q.weight").sums == std::vector<double>{12, 20, 22});
  CHECK(legacy.weights.at("blk.0.attn_q.weight").counts == std::vector<double>{8});

  measured_imatrix other{.chunk_size = 4};
  const float x[] = {1, 2};
  other.add("blk.0.attn_q.weight", x, 1);
  CHECK_THROWS_AS(other.add(imatrix::open(dir / "m.gguf")), bq::error);
}

TEST_CASE("sums that are not finite are not written") {
  const test::scratch dir;
  measured_imatrix m = example();
  m.weights.at("blk.0.attn_q.weight").sums[1] = NAN;
  CHECK_THROWS_AS(bq_llm::write_gguf(m, dir / "m.gguf"), bq::error);
  CHECK_THROWS_AS(bq_llm::write_legacy(m, dir / "m.dat"), bq::error);
  CHECK(dir.empty());
}

TEST_CASE("statistics of a weight, worked out by hand") {
  measured_imatrix m;
  m.weights["blk.0.a.weight"] = {{1, 1, 2, 0}, {1}};
  m.weights["blk.1.a.weight"] = {{2, 2, 4, 0}, {2}};
  const auto all = bq_imatrix::statistics(m);
  REQUIRE(all.size() == 2);
  CHECK(all[0].sum == 4);
  CHECK(all[0].mean == 1);
  CHECK(all[0].deviation == doctest::Approx(std::sqrt(0.5)));
  CHECK(all[0].active == 0.75);
  CHECK(all[0].entropy == doctest::Approx(1.5));
  CHECK(all[0].entropy_share == doctest::Approx(0.75));
  CHECK(all[0].zd == 0.25);
  CHECK(all[0].cosine == 0);
  CHECK(all[1].cosine == doctest::Approx(1));
}

TEST_CASE("a model's weights are all observed, with the same sums for any batch and threads, to 1e-12") {
  const bq_llm::language_model model(BQ_MODEL);
  std::ifstream file(BQ_TEST_TEXT, std::ios::binary);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  std::map<std::string, std::vector<double>> expected;
  for (const int n : {1, 2}) {
    bq::thread_pool threads(n);
    bq_imatrix::collect_options o{
        .windows = {.length = 64, .at_most = 3}, .output = true, .style = bq_program::progress_style::quiet};
    o.evaluation.batch = n == 1 ? 2048 : 40;
    measured_imatrix m{.chunk_size = 64};
    const auto ppl = bq_imatrix::collect(model, text, o, threads, m);
    CHECK(ppl.value > 5);
    CHECK(m.weights.size() == 7 * model.model.layers.size() + 1);
    CHECK(m.chunks() == 3);
    for (const auto& [name, w] : m.weights) {
      if (n == 1) expected[name] = w.sums;
      for (std::size_t i = 0; i < w.sums.size(); ++i) {
        CHECK(w.sums[i] == doctest::Approx(expected[name][i]).epsilon(1e-12));
      }
    }
  }
}
