// A model with quantised weights gives the same bits from the layout of its file and from interleaved copies.
#include "model/interleaved_weights.hpp"

#include <doctest/doctest.h>

#include <blockquant/quantize.hpp>
#include <cstring>
#include <deque>
#include <vector>

#include "model/evaluator.hpp"

namespace {

// The model's products with weights of this type; `blocks` keeps them.
bq_llm::decoder quantised(const bq_llm::decoder& model, bq::type to, std::deque<std::vector<std::byte>>& blocks) {
  bq_llm::decoder out = model;
  const auto quantise = [&](bq_llm::linear& l) {
    const bq::matrix& w = l.weight;
    std::vector<float> values(static_cast<std::size_t>(w.rows * w.cols));
    bq::dequantize(w.id, w.blocks, w.rows, w.cols, values);
    auto& kept = blocks.emplace_back(static_cast<std::size_t>(w.rows) * bq::row_bytes(to, w.cols));
    bq::quantize(to, values, w.rows, w.cols, kept);
    l.weight = {to, w.rows, w.cols, kept};
  };
  for (bq_llm::decoder_layer& l : out.layers) {
    for (bq_llm::linear* w : {&l.q, &l.k, &l.v, &l.attention_output, &l.gate, &l.up, &l.down}) quantise(*w);
  }
  quantise(out.output);
  return out;
}

std::vector<float> logits(const bq_llm::decoder& model) {
  const std::vector<int> ids{1, 17, 300, 5, 99, 2000};
  bq_llm::kv_cache cache(model, {.context = 16});
  bq_llm::evaluator run(model, {});
  std::vector<float> out;
  for (const auto& tokens : {std::span(ids).first(5), std::span(ids).last(1)}) {  // many, and one
    const bq_llm::batch_part part{0, tokens};
    const auto hidden = run.run({&part, 1}, cache);
    std::vector<float> here(tokens.size() * static_cast<std::size_t>(model.vocabulary));
    run.logits(hidden, here);
    out.insert(out.end(), here.begin(), here.end());
  }
  return out;
}

}  // namespace

TEST_CASE("interleaved weights change no bit of the logits") {
  const bq_llm::model_file file(BQ_MODEL);
  const bq_llm::decoder model = bq_llm::describe(file);
  bq::thread_pool threads(2);
  for (const bq::type t : {bq::type::q8_0, bq::type::q4_K}) {
    std::deque<std::vector<std::byte>> blocks;
    bq_llm::decoder changed = quantised(model, t, blocks);
    const auto expected = logits(changed);
    const bq_llm::interleaved_weights copies(changed, file, &threads);
    CHECK(changed.layers[0].q.weight.interleaved > 0);
    CHECK(changed.output.weight.interleaved > 0);
    const auto found = logits(changed);
    CHECK(std::memcmp(found.data(), expected.data(), expected.size() * sizeof(float)) == 0);
  }
}

TEST_CASE("float weights stay where they are") {
  const bq_llm::model_file file(BQ_MODEL);
  bq_llm::decoder model = bq_llm::describe(file);
  const auto* before = model.layers[0].q.weight.blocks.data();
  const bq_llm::interleaved_weights copies(model, file, nullptr);
  CHECK(model.layers[0].q.weight.blocks.data() == before);
}
