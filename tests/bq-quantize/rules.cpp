// Rules and recipes: what is accepted, what is refused and where, and that a printed recipe reads back the same.
#include "rules.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include "../error_code.hpp"
#include "described_model.hpp"

using namespace bq_quantize;
using test::code_of;
using test::error_of;

TEST_CASE("a rule is found anywhere in the name, in any case") {
  const rule r = parse_rule("ATTN_(k|v)=Q8_0");
  CHECK(r.type == bq::type::q8_0);
  CHECK(r.matches("blk.3.attn_v.weight"));
  CHECK_FALSE(r.matches("blk.3.attn_q.weight"));
  CHECK(parse_rule("^output\\.weight$ = f16").matches("output.weight"));
  CHECK_FALSE(parse_rule("^output\\.weight$=f16").matches("cls.output.weight"));
}

TEST_CASE("bad rules are refused") {
  for (const char* text : {"attn_v", "=q8_0", "  = q8_0", "attn_v=", "attn_v= ", "attn_(=q8_0", "a{2,1}=q8_0",
                           "attn(?=_v)=q8_0", "(a)\\1=q8_0", "attn_v=q9_0", "attn_v=q8_0 x", "a\tb=q8_0"})
    CHECK_MESSAGE(code_of([&] { parse_rule(text); }) == bq::errc::bad_recipe, text);
  for (const char* text : {"attn_v=iq2_xxs", "attn_v=q8_K", "attn_v=i32"})
    CHECK_MESSAGE(code_of([&] { parse_rule(text); }) == bq::errc::unsupported_type, text);
}

TEST_CASE("matching takes linear time") {
  const rule r = parse_rule("(a*)*(a*)*(a|a)*b=q8_0");
  const auto start = std::chrono::steady_clock::now();
  CHECK_FALSE(r.matches(std::string(100000, 'a')));
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(1));
}

TEST_CASE("a recipe has settings, then rules; the first match wins") {
  const recipe r = parse_recipe(
      "# for a test\r\n\r\n  type = q4_k_m\r\npure\nleave-output-tensor\noutput-tensor-type=Q8_0\n"
      "token-embedding-type = iq4_nl\n\n# rules\nblk\\.[0-3]\\. = q6_K\nattn_v = f16\n",
      "r");
  CHECK(r.target == "Q4_K_M");
  CHECK(r.pure);
  CHECK(r.leave_output_tensor);
  CHECK(r.output_tensor_type == bq::type::q8_0);
  CHECK(r.token_embedding_type == bq::type::iq4_nl);
  REQUIRE(r.find("blk.1.attn_v.weight"));
  CHECK(r.find("blk.1.attn_v.weight")->type == bq::type::q6_K);
  CHECK(r.find("blk.1.attn_v.weight")->origin == "r:10");
  CHECK(r.find("blk.7.attn_v.weight")->type == bq::type::f16);
  CHECK_FALSE(r.find("blk.7.attn_q.weight"));
}

TEST_CASE("mistakes in a recipe are named by file and line") {
  struct mistake {
    const char* text;
    const char* line;
  };
  for (const mistake& m : {
           mistake{"pure\nwhatever\n", "line 2"},
           mistake{"type = Q9_K\n", "line 1"},
           mistake{"\n\ntype =\n", "line 3"},
           mistake{"type\n", "line 1"},
           mistake{"pure = yes\n", "line 1"},
           mistake{"pure\npure\n", "line 2"},
           mistake{"attn_v = q8_0\npure\n", "line 2"},
           mistake{"attn_v = \n", "line 1"},
           mistake{"= q8_0\n", "line 1"},
           mistake{"attn_( = q8_0\n", "line 1"},
           mistake{"attn_v = q8_0 # good\n", "line 1"},
           mistake{"output-tensor-type = q9\n", "line 1"},
       }) {
    CAPTURE(m.text);
    const auto e = error_of([&] { parse_recipe(m.text, "my.recipe"); });
    REQUIRE(e);
    CHECK(e->code == bq::errc::bad_recipe);
    CHECK(e->file == "my.recipe");
    CHECK(e->subject.starts_with(m.line));
  }
  CHECK(code_of([] { parse_recipe("type = IQ2_M", "r"); }) == bq::errc::unsupported_type);
}

TEST_CASE("a printed recipe reads back as the same recipe") {
  recipe r;
  CHECK(to_string(r).empty());
  r.target = "Q4_K_M";
  r.leave_output_tensor = true;
  r.token_embedding_type = bq::type::q6_K;
  for (const char* text : {"attn_v=q8_0", "type=q4_K", "pure=f16", "#x=bf16", "a=b=q5_0", " blk \\d =iq4_nl"})
    r.rules.push_back(parse_rule(text));
  const std::string printed = to_string(r);
  const recipe again = parse_recipe(printed, "printed");
  CHECK(to_string(again) == printed);
  CHECK(again.target == r.target);
  CHECK(again.leave_output_tensor);
  CHECK_FALSE(again.pure);
  CHECK(again.token_embedding_type == r.token_embedding_type);
  REQUIRE(again.rules.size() == r.rules.size());
  for (std::size_t i = 0; i < r.rules.size(); ++i) {
    CHECK(again.rules[i].type == r.rules[i].type);
    for (const char* name : {"blk.0.attn_v.weight", "token_types.weight", "pure", "#x", "a=b", "blk 1"})
      CHECK(again.rules[i].matches(name) == r.rules[i].matches(name));
  }
}

TEST_CASE("the command line wins over a recipe file") {
  recipe line, file;
  line.target = "Q6_K";
  line.rules.push_back(parse_rule("attn=q8_0"));
  file.target = "Q4_0";
  file.pure = true;
  file.output_tensor_type = bq::type::f16;
  file.rules.push_back(parse_rule("attn_v=q4_0"));
  const recipe both = merge(line, file);
  CHECK(both.target == "Q6_K");
  CHECK(both.pure);
  CHECK(both.output_tensor_type == bq::type::f16);
  CHECK(both.find("attn_v")->type == bq::type::q8_0);
  CHECK(both.rules.size() == 2);
}

TEST_CASE("a file of rules is words between blanks") {
  const auto path = (std::filesystem::temp_directory_path() / "bq-quantize-rules-test.txt").string();
  std::ofstream(path) << "\nattn_v=q8_0  ffn_down=q6_K\n\nattn_k=q9\n";
  const auto e = error_of([&] { read_rules(path); });
  REQUIRE(e);
  CHECK(e->code == bq::errc::bad_recipe);
  CHECK(e->file == path);
  CHECK(e->subject.starts_with("line 4"));
  std::ofstream(path) << "attn_v=q8_0\n\tffn_down=q6_K";
  const auto rules = read_rules(path);
  REQUIRE(rules.size() == 2);
  CHECK(rules[1].type == bq::type::q6_K);
  CHECK(rules[1].origin == path + ":2");
  std::filesystem::remove(path);
  CHECK(code_of([&] { read_rules(path); }) == bq::errc::io);
  CHECK(code_of([] { read_recipe(std::filesystem::temp_directory_path().string()); }) == bq::errc::not_a_file);
}
