// Names of targets, types that fit a shape, roles and counting order.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "../error_code.hpp"
#include "described_model.hpp"
#include "mix.hpp"

using namespace bq_quantize;
using test::code_of;

TEST_CASE("targets are found by name in any case, by number, and through aliases") {
  CHECK(find_target("Q4_K_M").file_type == 15);
  CHECK(find_target("q4_k_m").base == bq::type::q4_K);
  CHECK(find_target("15").name == "Q4_K_M");
  CHECK(find_target("q3_k").name == "Q3_K_M");
  CHECK(find_target("0").name == "F32");
  CHECK(find_target("38").name == "MXFP4_MOE");
  CHECK(find_target("copy").copies());
}

TEST_CASE("what is no target, or cannot be written, is refused") {
  for (const char* word : {"", "Q4", "Q4_K_M ", "15x", "-1", "33", "99999999999"})
    CHECK_MESSAGE(code_of([&] { find_target(word); }) == bq::errc::unknown_type, word);
  for (const char* word : {"IQ1_S", "iq2_xxs", "IQ2_M", "IQ3_XS", "26", "Q1_0", "Q2_0"})
    CHECK_MESSAGE(code_of([&] { find_target(word); }) == bq::errc::unsupported_type, word);
}

TEST_CASE("every target has one line of description, and numbers are those of its name") {
  for (const target& t : targets()) {
    CAPTURE(t.name);
    CHECK_FALSE(t.description.empty());
    if (t.writable() && t.same_as.empty()) CHECK(&find_target(t.name) == &t);
    if (!t.same_as.empty()) CHECK(find_target(t.same_as).file_type == t.file_type);
  }
}

TEST_CASE("nominal bits are those of the blocks, a little more for mixes") {
  CHECK(nominal_bits(find_target("F16")) == 16);
  CHECK(nominal_bits(find_target("Q8_0")) == 8.5);
  CHECK(nominal_bits(find_target("Q6_K")) == doctest::Approx(6.5625));
  const double small = nominal_bits(find_target("Q4_K_S")), medium = nominal_bits(find_target("Q4_K_M"));
  CHECK(small > 4.5);
  CHECK(medium > small);
  CHECK(medium < 5);
  CHECK(nominal_bits(find_target("COPY")) == 0);
}

TEST_CASE("a type that does not fit gives way to one that does") {
  using enum bq::type;
  CHECK(fitting(q4_K, 512) == q4_K);
  CHECK(fitting(q4_K, 576) == q5_0);
  CHECK(fitting(q2_K, 96) == q4_0);
  CHECK(fitting(iq4_xs, 32) == iq4_nl);
  CHECK(fitting(q6_K, 100) == f16);
  CHECK(fitting(q8_0, 33) == f16);
  CHECK(fitting(nvfp4, 128) == nvfp4);
  CHECK(code_of([] { fitting(nvfp4, 96); }) == bq::errc::bad_shape);
}

TEST_CASE("tensors are counted by layer, then by name; those outside layers come first") {
  CHECK(before("output.weight", "blk.0.attn_k.weight"));
  CHECK(before("blk.2.z", "blk.10.a"));
  CHECK(before("blk.2.a", "blk.2.b"));
  CHECK(before("dec.blk.10.a", "dec.blk.2.a"));
  CHECK_FALSE(before("blk.3.a", "blk.3.a"));
  CHECK(layer_of("blk.12.attn_q.weight") == 12);
  for (const char* name : {"blk.", "blk.x.a", "blk.-1.a", "blk.1", "enc.blk.1.a", "blk.99999999999999999999.a"})
    CHECK_MESSAGE(!layer_of(name), name);
}

TEST_CASE("hyper-parameters of the wrong kind are refused by name") {
  using bq::gguf::value;
  bq::gguf::metadata meta;
  meta.set("general.architecture", value::of_string("llama"));
  meta.set("llama.block_count", value::of_string("many"));
  CHECK(code_of([&] { read_architecture(meta); }) == bq::errc::wrong_value_type);
  meta.set("llama.block_count", value::of_i32(-4));
  CHECK(code_of([&] { read_architecture(meta); }) == bq::errc::bad_value);
  meta.set("llama.block_count", value::of_u64(std::uint64_t{1} << 62));
  CHECK(code_of([&] { read_architecture(meta); }) == bq::errc::bad_value);
  meta.set("llama.block_count", value::of_u32(4));
  meta.set("llama.attention.head_count", value::of_u32(32));
  meta.set("llama.attention.head_count_kv", value::of_u32(0));
  CHECK(read_architecture(meta).gqa == 0);
}

TEST_CASE("experts outside the model's layers are refused") {
  const auto model = bq_quantize_test::parse_model(
      "meta general.architecture str llama\nmeta llama.block_count u32 2\nmeta llama.expert_count u32 8\n"
      "tensor blk.*.ffn_down_exps.weight f16 256x256x8 2\ntensor ffn_down_exps.weight f16 256x256x8\n");
  const std::vector<bq::gguf::tensor_shape> shapes(model.tensors.begin(), model.tensors.end());
  const architecture a = read_architecture(model.metadata);
  mixer mix(find_target("Q4_K_M"), a, shapes, false);
  CHECK(code_of([&] { mix.choose(shapes[0]); }) == bq::errc::out_of_range);
  CHECK(code_of([&] { mix.choose(shapes[1]); }) == bq::errc::bad_tensor_name);
}
