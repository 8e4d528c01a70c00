// Model files that are sound GGUF and impossible models: every error names the tensor or the key, and nothing is
// computed.
#include <doctest/doctest.h>

#include <algorithm>
#include <blockquant/error.hpp>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "../gguf/scratch.hpp"
#include "model/evaluator.hpp"
#include "tiny_model.hpp"

namespace {

using bq::errc;
using bq::gguf::value;

// What describing the model says; its subject is checked here.
errc refusal(const test::tiny_model& m, const std::string& subject) {
  const test::scratch folder;
  m.write(folder / "model.gguf");
  try {
    const bq_llm::model_file file(folder / "model.gguf");
    bq_llm::describe(file);
  } catch (const bq::error& e) {
    CHECK(e.info().subject == subject);
    return e.code();
  }
  FAIL("the model is taken");
  return errc::io;
}

}  // namespace

TEST_CASE("each missing and each misshapen tensor is named") {
  for (const std::string_view name : {"llama", "qwen3", "gemma3"}) {
    const test::tiny_model sound(name);
    for (std::size_t i = 0; i < sound.tensors.size(); ++i) {
      const std::string tensor = sound.tensors[i].name;
      if (tensor.starts_with("blk.") && !tensor.starts_with("blk.1.")) continue;
      INFO(std::string(name) << ", " << tensor);
      // Without an output matrix the embedding stands in; the embedding's rows are the vocabulary.
      if (tensor != "output.weight") {
        test::tiny_model without = sound;
        without.tensors.erase(without.tensors.begin() + static_cast<std::ptrdiff_t>(i));
        CHECK(refusal(without, tensor) == errc::missing_key);
      }
      test::tiny_model wider = sound, longer = sound;
      wider.tensors[i].ne[0] += 1;
      CHECK(refusal(wider, tensor) == errc::bad_shape);
      longer.tensors[i].n_dims = 2;
      longer.tensors[i].ne[1] += 1;
      const bool vocabulary = tensor == "token_embd.weight" && name != "gemma3";
      if (tensor != "token_embd.weight" || vocabulary) {
        CHECK(refusal(longer, vocabulary ? "output.weight" : tensor) == errc::bad_shape);
      }
    }
  }
}

TEST_CASE("impossible hyperparameters are named") {
  const auto with = [](std::string_view key, value v, std::string_view architecture = "llama") {
    test::tiny_model m(architecture);
    m.set(key, std::move(v));
    return m;
  };
  for (const char* key : {"context_length", "embedding_length", "feed_forward_length", "block_count",
                          "attention.head_count", "attention.head_count_kv", "rope.dimension_count"}) {
    INFO(key);
    const std::string full = std::string("llama.") + key;
    CHECK(refusal(with(key, value::of_u32(0)), full) == errc::out_of_range);
    CHECK(refusal(with(key, value::of_i32(-4)), full) == errc::out_of_range);
    CHECK(refusal(with(key, value::of_u64(std::numeric_limits<std::uint64_t>::max())), full) == errc::wrong_value_type);
    CHECK(refusal(with(key, value::of_u64((std::uint64_t{1} << 31) + 1)), full) == errc::out_of_range);
    CHECK(refusal(with(key, value::of_string("4")), full) == errc::wrong_value_type);
    CHECK(refusal(with(key, value::of_i32s(std::vector<std::int32_t>{4, 4})), full) == errc::wrong_value_type);
  }
  CHECK(refusal(with("block_count", value::of_u32(1u << 31)), "blk.2.attn_norm.weight") == errc::missing_key);
  CHECK(refusal(with("embedding_length", value::of_u32(1u << 31)), "llama.attention.key_length") == errc::out_of_range);
  CHECK(refusal(with("attention.head_count", value::of_u32(128)), "llama.attention.key_length") == errc::out_of_range);
  CHECK(refusal(with("attention.head_count", value::of_u32(3)), "llama.attention") == errc::bad_shape);
  CHECK(refusal(with("attention.head_count_kv", value::of_u32(3)), "llama.attention") == errc::bad_shape);
  CHECK(refusal(with("attention.key_length", value::of_u32(1u << 20)), "llama.attention.key_length") ==
        errc::out_of_range);
  CHECK(refusal(with("rope.dimension_count", value::of_u32(7)), "llama.rope.dimension_count") == errc::out_of_range);
  CHECK(refusal(with("rope.dimension_count", value::of_u32(18)), "llama.rope.dimension_count") == errc::out_of_range);
  CHECK(refusal(with("rope.freq_base", value::of_f32(-1)), "llama.rope.freq_base") == errc::out_of_range);
  CHECK(refusal(with("rope.freq_base", value::of_f32(NAN)), "llama.rope.freq_base") == errc::out_of_range);
  CHECK(refusal(with("rope.scaling.factor", value::of_f32(0), "qwen2:yarn"), "qwen2.rope.scaling.factor") ==
        errc::out_of_range);
  CHECK(refusal(with("rope.scaling.type", value::of_string("longrope")), "llama.rope.scaling.type") ==
        errc::unsupported_type);
  CHECK(refusal(with("attention.layer_norm_rms_epsilon", value::of_f32(INFINITY)),
                "llama.attention.layer_norm_rms_epsilon") == errc::out_of_range);
  CHECK(refusal(with("expert_count", value::of_u32(8)), "llama.expert_count") == errc::unsupported_type);
  CHECK(refusal(with("attention.sliding_window", value::of_u32(0), "gemma3"), "gemma3.attention.sliding_window") ==
        errc::out_of_range);
}

TEST_CASE("an unknown architecture, a missing key, and another vocabulary are named") {
  test::tiny_model m("llama");
  m.metadata.set("general.architecture", value::of_string("mamba"));
  CHECK(refusal(m, "general.architecture") == errc::unsupported_type);
  for (const char* key : {"context_length", "embedding_length", "feed_forward_length", "block_count",
                          "attention.head_count", "attention.layer_norm_rms_epsilon"}) {
    test::tiny_model without("llama");
    without.metadata.erase(std::string("llama.") + key);
    CHECK(refusal(without, std::string("llama.") + key) == errc::missing_key);
  }
  test::tiny_model other("llama");
  other.metadata.set("tokenizer.ggml.tokens", value::of_strings(std::vector<std::string>(95, "t")));
  CHECK(refusal(other, "tokenizer.ggml.tokens") == errc::bad_shape);
}

TEST_CASE(
    "a cache that no memory can hold, a full one, and ids that are no tokens are errors; the cache stays usable") {
  const test::scratch folder;
  test::tiny_model("llama").write(folder / "model.gguf");
  const bq_llm::model_file file(folder / "model.gguf");
  const bq_llm::decoder model = bq_llm::describe(file);
  const std::int64_t most = std::int64_t{1} << 31;
  CHECK_THROWS_AS(bq_llm::kv_cache(model, {.context = most, .sequences = std::numeric_limits<int>::max()}),
                  std::bad_alloc);
  CHECK_THROWS_AS(bq_llm::kv_cache(model, {.context = most + 1}), bq::error);
  CHECK_THROWS_AS(bq_llm::kv_cache(model, {.keys = bq::type::q8_0, .context = 4}), bq::error);  // heads of 16

  bq_llm::kv_cache cache(model, {.context = 4});
  bq_llm::evaluator run(model, {});
  const auto code = [&](const std::vector<int>& ids) {
    try {
      const bq_llm::batch_part part{0, ids};
      run.run({&part, 1}, cache);
    } catch (const bq::error& e) {
      return e.code();
    }
    return errc::io;
  };
  CHECK(code({1, 2, 3, 4, 5}) == errc::out_of_range);
  CHECK(code({1, test::tiny_vocabulary}) == errc::out_of_range);
  CHECK(code({-1}) == errc::out_of_range);
  CHECK(cache.length(0) == 0);
  const std::vector<int> ids{1, 2, 3, 4};
  const bq_llm::batch_part part{0, ids};
  run.run({&part, 1}, cache);
  CHECK(cache.length(0) == 4);
}
