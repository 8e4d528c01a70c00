// Tables, JSON and plots of several models.
#include "comparison.hpp"

#include <doctest/doctest.h>

using namespace bq_perplexity;

namespace {

comparison example() {
  comparison c{.text = "a <text> & more", .context = 512, .windows = 3, .models = {}};
  for (int i = 0; i < 4; ++i) {
    const double kld = 0.01 * i;
    const std::vector<token_divergence> tokens(50, {2.0 + kld, 2.0, kld, -0.01 * i, i < 3});
    c.models.push_back({.name = "q" + std::to_string(i) + "<&>",
                        .path = "p",
                        .bytes = 1000000u * static_cast<unsigned>(5 - i),
                        .parameters = 1000000,
                        .statistics = divergence_statistics(tokens)});
  }
  return c;
}

std::size_t occurrences(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (auto at = text.find(part); at != text.npos; at = text.find(part, at + part.size())) ++n;
  return n;
}

// Tags that are opened are closed, in order.
bool well_formed(const std::string& xml) {
  std::vector<std::string> open;
  for (std::size_t at = xml.find('<'); at != xml.npos; at = xml.find('<', at + 1)) {
    const std::size_t end = xml.find('>', at);
    if (end == xml.npos) return false;
    const std::string tag = xml.substr(at + 1, end - at - 1);
    if (tag.find('<') != tag.npos) return false;
    if (tag.starts_with("/")) {
      if (open.empty() || open.back() != tag.substr(1)) return false;
      open.pop_back();
    } else if (!tag.ends_with("/")) {
      open.push_back(tag.substr(0, tag.find(' ')));
    }
  }
  return open.empty();
}

}  // namespace

TEST_CASE("names lose what they have in common, word by word") {
  using names = std::vector<std::string>;
  CHECK(short_names({"a/m-q4_0.gguf", "b/m-q4_1.gguf"}) == names{"q4_0", "q4_1"});
  CHECK(short_names({"m.gguf"}) == names{"m"});
  CHECK(short_names({"x-bf16.gguf", "x-q8_0.gguf", "y.gguf"}) == names{"x-bf16", "x-q8_0", "y"});
  CHECK(short_names({"same.gguf", "same.gguf"}) == names{"same", "same"});
}

TEST_CASE("the plot is well-formed, and has a point for each model but the base in the second panel") {
  const std::string svg = to_svg(example());
  CHECK(well_formed(svg));
  CHECK(occurrences(svg, "<circle") == 4 + 3);
  CHECK(svg.find("q1&lt;&amp;&gt;") != svg.npos);
  CHECK(svg.find("nan") == svg.npos);
  comparison one = example();
  one.models.resize(1, one.models.front());
  CHECK(well_formed(to_svg(one)));
}

TEST_CASE("JSON and the table hold every model") {
  const auto json = to_json(example());
  REQUIRE(json["models"].size() == 4);
  CHECK(json["models"][2]["kld"]["value"].get<double>() == doctest::Approx(0.02));
  CHECK(json["models"][2]["file_size"] == 3000000);
  CHECK(json["models"][0]["bits_per_weight"] == 40.0);
  for (const char* key : {"perplexity", "base_perplexity", "log_ratio", "ratio", "difference", "delta_p", "same_top"}) {
    CHECK(json["models"][1][key]["error"].is_number());
  }
  CHECK(occurrences(to_table(example()), "\n") == 5);
}
