// Templates and their outputs by Python's jinja2: see make_expected.py. Where jinja2 raises, a bq::error is expected.
#include <doctest/doctest.h>
#include <blockquant/error.hpp>

#include <fstream>
#include <iterator>
#include <optional>
#include <string>

#include "chat/chat_template.hpp"

namespace {

using nlohmann::ordered_json;

std::string contents(const std::string& name) {
  std::ifstream file(CHAT_TEST_DATA "/" + name, std::ios::binary);
  REQUIRE(file);
  return {std::istreambuf_iterator<char>(file), {}};
}

ordered_json output(const std::string& source, const ordered_json& messages, bool generate, const ordered_json& extra) {
  try {
    return bq_llm::chat_template(source, "<s>", "</s>").render(messages, generate, extra);
  } catch (const bq::error& e) {
    CHECK(e.code() == bq::errc::bad_recipe);
    CHECK(std::string(e.what()).find("line ") != std::string::npos);
    return nullptr;
  }
}

}  // namespace

TEST_CASE("chat: expressions, statements and white space as jinja2 has them") {
  const auto cases = ordered_json::parse(contents("expected/expressions.json"));
  REQUIRE(cases.size() > 60);
  for (const auto& each : cases) {
    CAPTURE(each[0]);
    CHECK(output(each[0], ordered_json::array(), false, ordered_json::object()) == each[1]);
  }
}

TEST_CASE("chat: conversations in the style of five families") {
  const auto expected = ordered_json::parse(contents("expected/conversations.json"));
  const auto& conversations = expected["conversations"];
  REQUIRE(expected["outputs"].size() == 5);
  for (const auto& family : expected["outputs"].items()) {
    const std::string& name = family.key();
    const ordered_json& outputs = family.value();
    const std::string source = contents("templates/" + name + ".jinja");
    REQUIRE(outputs.size() == conversations.size());
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const auto& c = conversations[i];
      CAPTURE(name);
      CAPTURE(c.dump());
      CHECK(output(source, c["messages"], c["add_generation_prompt"].get<bool>(), c["extra"]) == outputs[i]);
    }
  }
}

TEST_CASE("chat: messages of role and content") {
  const bq_llm::chat_template chat(
      "{{ bos_token }}{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}"
      "{% if add_generation_prompt %}{{ who }}{{ eos_token }}{% endif %}",
      "<b>", "<e>");
  const std::vector<bq_llm::chat_message> messages = {{"user", "a"}, {"assistant", "b"}};
  CHECK(chat.render(messages, false) == "<b>user:a;assistant:b;");
  CHECK(chat.render(messages, true, {{"who", "me"}}) == "<b>user:a;assistant:b;me<e>");
}

TEST_CASE("chat: the template of a file") {
  bq::gguf::metadata metadata;
  const std::vector<std::string> tokens = {"<unk>", "<s>", "</s>", "a"};
  metadata.set("tokenizer.ggml.model", bq::gguf::value::of_string("llama"));
  metadata.set("tokenizer.ggml.tokens", bq::gguf::value::of_strings(tokens));
  metadata.set("tokenizer.ggml.scores", bq::gguf::value::of_f32s(std::vector<float>(tokens.size())));
  const auto tokenizer = bq_llm::tokenizer::from(metadata);
  CHECK_THROWS_AS(bq_llm::chat_template::from(metadata, tokenizer), bq::error);
  metadata.set("tokenizer.chat_template", bq::gguf::value::of_string("{{ bos_token }}{{ eos_token }}"));
  CHECK(bq_llm::chat_template::from(metadata, tokenizer).render(std::vector<bq_llm::chat_message>(), false) ==
        "<s></s>");
}

TEST_CASE("chat: today's date") {
  const std::string year = bq_llm::chat_template("{{ strftime_now('%Y') }}").render(ordered_json::array(), false);
  CHECK(year.size() == 4);
  CHECK(year >= "2024");
}
