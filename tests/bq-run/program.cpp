// bq-run as users and scripts meet it, on the embedded model: what it prints, when it ends, what it refuses.
#include "program/json_output.hpp"

#include "golden.hpp"

using bq_run_test::golden_continuations;
using nlohmann::json;
using program::error_code;
using program::run;

namespace {

using words = std::vector<std::string>;

words with_model(words more) {
  more.insert(more.begin(), {"-m", BQ_MODEL});
  return more;
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("bq-run: greedy continuations are the golden ones, with any threads and cache") {
  for (const auto& g : golden_continuations()) {
    for (const words& how : {words{}, words{"-t", "1"}, words{"-t", "3", "--cache-type-k", "f32", "-v", "F32"}}) {
      words all = with_model({"--json", "--greedy", "-n", "40", "-p", g.prompt});
      all.insert(all.end(), how.begin(), how.end());
      const auto o = run(all);
      REQUIRE(o.exit_code == 0);
      const auto found = json::parse(o.out);
      CHECK(found["prompt_ids"] == json(g.prompt_ids));
      CHECK(found["ids"] == json(g.ids));
    }
  }
}

TEST_CASE("bq-run: --json is one object with everything in it; without it the text streams") {
  const auto& g = golden_continuations()[1];
  const auto o = run(with_model({"--json", "--greedy", "-n", "12", "--seed", "5", "-p", g.prompt}));
  const auto found = json::parse(o.out);
  const auto& t = found["timings"];
  CHECK(found["stop"] == "limit");
  CHECK(found["seed"] == 5);
  CHECK(found["peak_rss"].get<std::uint64_t>() > 1 << 20);
  CHECK(t["load_ms"].get<double>() > 0);
  CHECK(t["prompt_tokens"] == g.prompt_ids.size());
  CHECK(t["prompt_ms"].get<double>() > 0);
  CHECK(t["tokens"] == 12);
  CHECK(t["ms"].get<double>() > 0);

  const auto plain = run(with_model({"--greedy", "-n", "12", "-p", g.prompt}));
  CHECK(plain.out == found["text"].get<std::string>() + "\n");
  CHECK(contains(plain.err, "loaded in"));
  CHECK(contains(plain.err, "peak memory"));
  const auto quiet = run(with_model({"-q", "--echo", "--greedy", "-n", "12", "-f", "-"}), g.prompt + "\n");
  CHECK(quiet.out == g.prompt + plain.out);
  CHECK(quiet.err.empty());
}

TEST_CASE("bq-run: a seed gives the same text again, another one another text") {
  const auto text = [](const std::string& seed, const std::string& threads) {
    const auto o =
        run(with_model({"--json", "-n", "24", "-s", seed, "-t", threads, "--temp", "1.2", "-p", "The old man"}));
    return json::parse(o.out)["text"].get<std::string>();
  };
  CHECK(text("1", "1") == text("1", "2"));
  CHECK(text("1", "2") != text("2", "2"));
}

TEST_CASE("bq-run: a stop string ends the text before it") {
  const auto& g = golden_continuations()[0];
  const auto whole = json::parse(run(with_model({"--json", "--greedy", "-n", "20", "-p", g.prompt})).out);
  const auto text = whole["text"].get<std::string>();
  const std::string stop = text.substr(text.size() / 2, 5);
  const auto o = run(with_model({"--json", "--greedy", "-n", "20", "--stop", stop, "--stop", "@@", "-p", g.prompt}));
  const auto found = json::parse(o.out);
  CHECK(found["stop"] == "stop");
  CHECK(found["text"] == text.substr(0, text.find(stop)));
}

TEST_CASE("bq-run: prompts of no words, of too many, and a context that fills up") {
  const auto empty = run(with_model({"--json", "--greedy", "-n", "3", "-p", ""}));
  REQUIRE(empty.exit_code == 0);
  CHECK(json::parse(empty.out)["prompt_ids"] == json::array({0}));
  CHECK(json::parse(empty.out)["ids"].size() == 3);
  CHECK(error_code(with_model({"--json"}), 2) == "invalid_argument");

  const words greedy = with_model({"--json", "--greedy", "--ignore-eos", "-p", golden_continuations()[0].prompt});
  const auto with_context = [&](const std::string& n) {
    words all = greedy;
    all.insert(all.end(), {"-c", n});
    return all;
  };
  CHECK(error_code(with_context("6")) == "out_of_range");
  // Seven tokens of the prompt, three more that are evaluated, and one more that is known then.
  const auto full = json::parse(run(with_context("10")).out);
  CHECK(full["stop"] == "context");
  CHECK(full["prompt_ids"].size() == 7);
  CHECK(full["ids"].size() == 4);
}

TEST_CASE("bq-run: Ctrl-C ends it with what there is") {
  const words endless = with_model({"--ignore-eos", "-c", "16384", "-t", "1", "-p", "The"});
  const auto o = program::run_and_interrupt(endless);
  CHECK(o.exit_code == 130);
  CHECK(o.out.ends_with("\n"));
  CHECK(contains(o.err, "interrupted"));

  words as_json = endless;
  as_json.push_back("--json");
  const auto j = program::run_and_interrupt(as_json, "loaded in");
  CHECK(j.exit_code == 130);
  const auto found = json::parse(j.out);
  CHECK(found["stop"] == "interrupted");
  CHECK(found["timings"]["tokens"] == found["ids"].size());

  const auto bench =
      program::run_and_interrupt(with_model({"--bench", "--json", "--tg", "4096", "-r", "100"}), "loaded in");
  CHECK(bench.exit_code == 130);
  CHECK(json::parse(bench.out).is_array());
}

TEST_CASE("bq-run: a conversation keeps its history, and what the cache holds of it") {
  const program::scratch dir;
  program::write_file(dir / "t.jinja",
                      "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
                      "{% if add_generation_prompt %}assistant:{% endif %}");
  const auto with_limit = [&](const std::string& n) {
    return with_model(
        {"--chat", "--chat-template", dir / "t.jinja", "--system", "Be kind.", "--json", "-q", "--greedy", "-n", n});
  };
  const words chat = with_limit("10");
  const auto o = run(chat, "Who are\\\nyou?\n/again\n\nWhy?\n/reset\nWhy?\n/nonsense\n/exit\nnever\n");
  CHECK(o.exit_code == 0);
  CHECK(contains(o.err, "/reset"));
  std::vector<json> answers;
  for (std::size_t at = 0, end = 0; (end = o.out.find('\n', at)) != std::string::npos; at = end + 1) {
    answers.push_back(json::parse(o.out.substr(at, end - at)));
  }
  REQUIRE(answers.size() == 4);
  const auto asked = [&](const std::string& text) {
    return json::parse(run({"tokenize", "-m", BQ_MODEL, "--json", "-p", text}).out);
  };
  const std::string first = "system: Be kind.\nuser: Who are\nyou?\nassistant:";
  CHECK(answers[0]["prompt_ids"] == asked(first));
  CHECK(answers[1]["ids"] == answers[0]["ids"]);
  CHECK(answers[1]["timings"]["prompt_tokens"] == 1);
  const std::string second = first + " " + answers[0]["text"].get<std::string>() + "\nuser: Why?\nassistant:";
  CHECK(answers[2]["prompt_ids"] == asked(second));
  CHECK(answers[2]["timings"]["prompt_tokens"].get<std::size_t>() + answers[0]["prompt_ids"].size() <=
        answers[2]["prompt_ids"].size() + 1);
  CHECK(answers[3]["prompt_ids"] == asked("system: Be kind.\nuser: Why?\nassistant:"));

  words once = chat;
  once.insert(once.end(), {"-p", "Who are\nyou?"});
  CHECK(json::parse(run(once).out)["ids"] == answers[0]["ids"]);

  // A question that does not fit is refused; the conversation goes on.
  words small = with_limit("1");
  small.insert(small.end(), {"-c", "40"});
  const auto refused = run(small, std::string(400, 'x') + "\nWhy?\n");
  CHECK(refused.exit_code == 1);
  CHECK(contains(refused.out, "out_of_range"));
  CHECK(contains(refused.out, "prompt_ids"));
  CHECK(error_code(with_model({"--chat", "--json", "-p", "x"})) == "missing_key");
}

TEST_CASE("bq-run: tokenize gives ids that spell the text, in JSON and for people") {
  const program::scratch dir;
  const std::string text = "The first line,\n and a second; 3 numbers.\n";
  program::write_file(dir / "text", text);
  const auto ids = json::parse(run({"tokenize", "-m", BQ_MODEL, "-f", dir / "text", "--json"}).out);
  REQUIRE(ids.is_array());
  CHECK(ids == json::parse(run({"tokenize", "-m", BQ_MODEL, "-f", "-", "--json"}, text).out));
  CHECK(ids[0] == 0);
  const auto plain = json::parse(run({"tokenize", "-m", BQ_MODEL, "-p", text, "--no-bos", "--json"}).out);
  CHECK(json(std::vector<json>(ids.begin() + 1, ids.end())) == plain);
  const auto shown = run({"tokenize", "-m", BQ_MODEL, "-p", "The man"});
  CHECK(std::count(shown.out.begin(), shown.out.end(), '\n') == 3);
  CHECK(contains(shown.out, "' man'"));
}

TEST_CASE("bq-run: --bench measures what it is asked to") {
  const auto o = run(with_model({"--bench", "--json", "--pp", "16,32", "--tg", "4", "-r", "2", "-t", "1"}));
  REQUIRE(o.exit_code == 0);
  const auto found = json::parse(o.out);
  REQUIRE(found.size() == 3);
  const char* names[] = {"pp16", "pp32", "tg4"};
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(found[i]["test"] == names[i]);
    CHECK(found[i]["samples_ts"].size() == 2);
    CHECK(found[i]["avg_ts"].get<double>() > 0);
    CHECK(found[i]["stddev_ts"].get<double>() >= 0);
    CHECK(found[i]["n_threads"] == 1);
  }
  CHECK(contains(run(with_model({"--bench", "-q", "--pp", "8", "--tg", "0", "-r", "1"})).out, "| pp8 "));
}

TEST_CASE("bq-run: command lines that make no sense, and files that are no models") {
  for (const words& bad :
       {words{}, words{"-p", "x"}, with_model({"--nonsense"}), with_model({"-p", "x", "-f", "y"}),
        with_model({"-p", "x", "--system", "s"}), with_model({"-p", "x", "--cache-type-k", "q9_9"}),
        with_model({"-p", "x", "-t", "0"}), with_model({"--pp", "4"}), with_model({"-p", "x", "--temp", "-1"}),
        with_model({"-p", "x", "--stop", ""}), words{"tokenize", "-p", "x"}}) {
    const auto o = run(bad);
    CAPTURE(bad.size());
    CHECK(o.exit_code == 2);
    CHECK(o.out.empty());
    CHECK(!o.err.empty());
  }
  CHECK(run({"--help"}).exit_code == 0);
  CHECK(contains(run({"--help"}).out, "--top-k"));
  CHECK(error_code(with_model({"--json", "-p", "x", "--cache-type-v", "q4_K"})) == "bad_shape");
  CHECK(error_code({"--json", "-m", "/nowhere.gguf", "-p", "x"}) == "io");
  CHECK(error_code(with_model({"--json", "-f", "/nowhere.txt"})) == "io");
}

TEST_CASE("bq-run: damaged and truncated models are refused") {
  const program::scratch dir;
  const std::string whole = program::read_file(BQ_MODEL);
  const auto exit_code = [&](const std::string& bytes) {
    program::write_file(dir / "m.gguf", bytes);
    const auto o = run({"-m", dir / "m.gguf", "--json", "-q", "-n", "1", "-t", "1", "-p", "x"});
    CHECK(json::accept(o.out));
    return o.exit_code;
  };
  for (const std::size_t bytes :
       {std::size_t{0}, std::size_t{10}, std::size_t{3000}, whole.size() / 2, whole.size() - 1}) {
    CHECK(exit_code(whole.substr(0, bytes)) == 1);
  }
  // Bytes of the header: some changes matter and some do not, none kills the program.
  for (std::size_t at = 0; at < 1000; at += 61) {
    std::string bytes = whole;
    bytes[at] = static_cast<char>(bytes[at] ^ 0x15);
    const int found = exit_code(bytes);
    CAPTURE(at);
    CHECK((found == 0 || found == 1));
  }
}
