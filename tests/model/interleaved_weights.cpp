// A model with quantised weights gives the same bits from the layout of its file and from interleaved copies.
#include "model/interleaved_weights.hpp"

#include <doctest/doctest.h>

#include <blockquant/quantize.hpp>
#include <cstring>
#include <vector>

#include "model/evaluator.hpp"
#include "tests/error_code.hpp"
#include "tests/gguf/scratch.hpp"

namespace {

// The model with its matrices in this type, as a new file.
void write_quantised(const bq::gguf::model& model, bq::type to, const std::string& path) {
  std::vector<bq::gguf::tensor_shape> shapes;
  for (const bq::gguf::tensor& t : model.tensors()) {
    shapes.push_back(t);
    if (t.rows() > 1) shapes.back().type_id = static_cast<std::uint32_t>(to);
    shapes.back().bytes = 0;
  }
  bq::gguf::writer out(path, model.metadata(), shapes);
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    const bq::gguf::tensor& t = model.tensors()[i];
    const auto blocks = model.map(t);
    if (t.rows() == 1) {
      out.write(i, 0, blocks);
      continue;
    }
    std::vector<float> values(static_cast<std::size_t>(t.rows() * t.cols()));
    bq::dequantize(static_cast<bq::type>(t.type_id), blocks, t.rows(), t.cols(), values);
    std::vector<std::byte> quantised(static_cast<std::size_t>(t.rows()) * bq::row_bytes(to, t.cols()));
    bq::quantize(to, values, t.rows(), t.cols(), quantised);
    out.write(i, 0, quantised);
  }
  out.commit();
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
  const test::scratch folder;
  const bq::gguf::model floats = bq::gguf::model::open(BQ_MODEL);
  for (const bq::type t : {bq::type::q8_0, bq::type::q4_K}) {
    write_quantised(floats, t, folder / "model.gguf");
    const bq_llm::model_file file(folder / "model.gguf");
    bq_llm::decoder model = bq_llm::describe(file);
    const auto expected = logits(model);
    for (const int count : {1, 3}) {
      model = bq_llm::describe(file);
      bq::thread_pool threads(count);
      const bq_llm::interleaved_weights copies(model, file, threads);
      CHECK(model.layers[0].q.weight.interleaved > 0);
      CHECK(model.output.weight.interleaved > 0);
      const auto found = logits(model);
      CHECK(std::memcmp(found.data(), expected.data(), expected.size() * sizeof(float)) == 0);
    }
  }
}

TEST_CASE("a file that has become shorter is an error, and not a crash") {
  const test::scratch folder;
  write_quantised(bq::gguf::model::open(BQ_MODEL), bq::type::q4_0, folder / "model.gguf");
  const bq_llm::model_file file(folder / "model.gguf");
  bq_llm::decoder model = bq_llm::describe(file);
  std::filesystem::resize_file(folder / "model.gguf", std::filesystem::file_size(folder / "model.gguf") / 2);
  bq::thread_pool threads(2);
  CHECK(test::code_of([&] { bq_llm::interleaved_weights(model, file, threads); }) == bq::errc::file_changed);
}

TEST_CASE("float weights stay where they are") {
  const bq_llm::model_file file(BQ_MODEL);
  bq_llm::decoder model = bq_llm::describe(file);
  const auto* before = model.layers[0].q.weight.blocks.data();
  bq::thread_pool threads(1);
  const bq_llm::interleaved_weights copies(model, file, threads);
  CHECK(model.layers[0].q.weight.blocks.data() == before);
}
