// Overrides, pruning and what the output's metadata says.
#include "metadata_edit.hpp"

#include <doctest/doctest.h>

#include "../error_code.hpp"
#include "described_model.hpp"

using namespace bq_quantize;
using bq::gguf::value;
using bq::gguf::value_type;
using bq_quantize_test::parse_model;
using test::code_of;

TEST_CASE("overrides have a key, a type and a value") {
  CHECK(parse_override("a.b=int:42").value.type() == value_type::u32);
  CHECK(parse_override("a.b=int:42").value.as_uint() == 42);
  CHECK(parse_override("a=float:-1.5e3").value.type() == value_type::f32);
  CHECK(parse_override("a=float:-1.5e3").value.as_float() == -1500);
  CHECK(parse_override("a=bool:true").value.as_bool() == true);
  CHECK(parse_override("a=str:x=y:z").value.as_string() == "x=y:z");
  CHECK(parse_override("a=str:").value.as_string() == "");
  CHECK(parse_override("tokenizer.x=str:y").key == "tokenizer.x");
  for (const char* text : {"", "a", "=int:1", "a=int", "a=1", "a=int:", "a=int:1.5", "a=int:-1", "a=int:4294967296",
                           "a=float:x", "a=bool:1", "a=u8:1", "a:int=1"})
    CHECK_MESSAGE(code_of([&] { parse_override(text); }) == bq::errc::invalid_argument, text);
}

TEST_CASE("layer lists are sorted and checked") {
  CHECK(parse_layers("3,1,3") == std::vector<std::int64_t>{1, 3});
  for (const char* text : {"", "1,", ",1", "1,,2", "x", "-1", "1-3"})
    CHECK_MESSAGE(code_of([&] { parse_layers(text); }) == bq::errc::invalid_argument, text);
}

TEST_CASE("layers that stay are renumbered without gaps, in encoders and decoders too") {
  const auto model =
      parse_model("tensor enc.blk.*.a f32 4 0-3\ntensor blk.*.b f32 4 0-3\ntensor token_embd.weight f32 4\n");
  const std::vector<std::int64_t> pruned{0, 2};
  const layer_map layers = renumber(model.tensors, pruned);
  CHECK(layers == layer_map{{0, -1}, {1, 0}, {2, -1}, {3, 1}});
  CHECK(renamed("enc.blk.3.a", layers) == "enc.blk.1.a");
  CHECK(renamed("blk.2.b", layers).empty());
  CHECK(renamed("token_embd.weight", layers) == "token_embd.weight");
  CHECK(renumber(model.tensors, {}).empty());
  const std::vector<std::int64_t> too_far{4}, all{0, 1, 2, 3};
  CHECK(code_of([&] { renumber(model.tensors, too_far); }) == bq::errc::out_of_range);
  CHECK(code_of([&] { renumber(model.tensors, all); }) == bq::errc::invalid_argument);
}

TEST_CASE("pruning shortens what is counted per layer") {
  auto model = parse_model(
      "meta general.architecture str deci\nmeta deci.block_count u32 4\n"
      "meta deci.attention.head_count arr:i32 8,9,10,11\nmeta deci.rope.dimension_sections arr:i32 1,2,3,4\n"
      "tensor blk.*.b f32 4 0-3\n");
  model.metadata.set("deci.swiglu_clamp_exp", value::of_f32s(std::vector<float>{1, 2, 3, 4}));
  const std::vector<std::int64_t> pruned{1};
  const auto meta = output_metadata(model.metadata, find_target("Q8_0"), renumber(model.tensors, pruned), {}, nullptr);
  CHECK(meta.require_uint("deci.block_count") == 3);
  const value* heads = meta.find("deci.attention.head_count");
  REQUIRE(heads->size() == 3);
  CHECK(heads->as_int(0) == 8);
  CHECK(heads->as_int(1) == 10);
  const value* clamps = meta.find("deci.swiglu_clamp_exp");
  REQUIRE(clamps->size() == 3);
  CHECK(clamps->as_float(2) == 4);
  CHECK(meta.find("deci.rope.dimension_sections")->size() == 4);
}

TEST_CASE("the output says what it is") {
  auto model = parse_model("meta general.architecture str llama\nmeta general.file_type u32 1\n");
  model.metadata.set("split.no", value::of_u16(0));
  model.metadata.set("split.count", value::of_u16(3));
  model.metadata.set("split.tensors.count", value::of_i32(7));
  const std::vector<override_kv> overrides{parse_override("general.name=str:small")};
  const auto meta = output_metadata(model.metadata, find_target("Q4_K_M"), {}, overrides, nullptr);
  CHECK(meta.require_uint("general.file_type") == 15);
  CHECK(meta.require_uint("general.quantization_version") == 2);
  CHECK(meta.require_string("general.name") == "small");
  for (const char* key : {"split.no", "split.count", "split.tensors.count", "quantize.imatrix.file"})
    CHECK_MESSAGE(!meta.find(key), key);
  const auto copied = output_metadata(model.metadata, find_target("COPY"), {}, {}, nullptr);
  CHECK(copied.require_uint("general.file_type") == 1);
}

TEST_CASE("the output says where its importance came from") {
  const bq_quantize_test::imatrix_file file(
      std::map<std::string, std::vector<float>>{{"a.weight", {1, 2}}, {"b.weight", {3}}});
  imatrix importance = imatrix::open(file.path());
  const std::vector<std::string> parts{"b."};
  importance.exclude(parts);
  const auto meta = output_metadata({}, find_target("Q4_K_M"), {}, {}, &importance);
  CHECK(meta.require_string("quantize.imatrix.file") == file.path().substr(0, 127));
  CHECK(meta.require_uint("quantize.imatrix.entries_count") == 1);
  CHECK_FALSE(meta.find("quantize.imatrix.chunks_count"));
}
