// Tasks with several choices: scores against f64 arithmetic on logits of one sequence at a time, the same digits for
// any threads and batch, and files that are damaged.
#include <doctest/doctest.h>

#include <algorithm>
#include <blockquant/error.hpp>
#include <cmath>
#include <optional>

#include "../gguf/scratch.hpp"
#include "accuracy.hpp"
#include "evaluation/language_model.hpp"
#include "model/evaluator.hpp"
#include "task_file.hpp"
#include "task_kind.hpp"

using namespace bq_perplexity;

namespace {

const std::string hellaswag =
    "Cooking: The old man put the soup on the fire. He\n1\nsang.\nwaited until it was hot, and then he ate it.\n"
    "walked to the sea and swam.\nwalked to the town.\n"
    "The ship\n3\nsailed.\nsailed away in the night.\nwas a bird of many colours.\nsank.\n";
const std::string winogrande =
    "0,\"The cup did not fit into the box, because the _ was too small.\",cup,box,2\n"
    "1,John gave Mary the book and _ was glad.,John,Mary,2\n2,She saw the _.,sea,old house,1\n";

std::string u32(std::uint32_t n) { return {reinterpret_cast<const char*>(&n), sizeof n}; }
std::string text(const std::string& s) { return u32(static_cast<std::uint32_t>(s.size())) + s; }

std::string multiple_choice() {
  const std::string answers =
      u32(3) + text("the king") + text("a stone") + text("the king of the sea") + u32(0) + u32(1) + u32(0);
  const std::string task = text("Who was there?") + answers + u32(0), head = u32(2) + u32(12);
  return head + u32(static_cast<std::uint32_t>(12 + task.size())) + task + task;
}

// The mean of ln p, each sequence evaluated alone, from its beginning.
double expected_score(const bq_llm::decoder& model, const bq_llm::continuation& c) {
  bq::thread_pool threads(1);
  bq_llm::evaluator evaluator(model, {.threads = &threads});
  bq_llm::kv_cache cache(model, {.context = c.end});
  const bq_llm::batch_part all[] = {{0, std::span(c.tokens).first(static_cast<std::size_t>(c.end))}};
  const std::span<const float> hidden = evaluator.run(all, cache);
  std::vector<float> x(static_cast<std::size_t>(c.end * model.vocabulary));
  evaluator.logits(hidden, x);
  double sum = 0;
  for (std::int64_t i = c.first; i < c.end; ++i) {
    const auto row = std::span(x).subspan(static_cast<std::size_t>((i - 1) * model.vocabulary),
                                          static_cast<std::size_t>(model.vocabulary));
    const double max = *std::ranges::max_element(row);
    double exps = 0;
    for (const float v : row) exps += std::exp(v - max);
    sum += row[static_cast<std::size_t>(c.tokens[static_cast<std::size_t>(i)])] - max - std::log(exps);
  }
  return sum / static_cast<double>(c.end - c.first);
}

std::optional<bq::error_info> refusal(const task_kind& kind, const std::string& path) {
  try {
    kind.read(path);
  } catch (const bq::error& e) {
    return e.info();
  }
  return {};
}

const std::string files[] = {hellaswag, winogrande, multiple_choice()};

}  // namespace

TEST_CASE("scores are those of f64, with the same digits for any number of threads and any batch") {
  const test::scratch dir;
  const bq_llm::language_model model(BQ_MODEL);
  std::vector<bq_llm::choices> tasks;
  for (std::size_t k = 0; k < 3; ++k) {
    const task_kind& kind = task_kinds()[k];
    for (const choice_task& t : kind.read(dir.add("tasks", files[k]))) {
      tasks.push_back(kind.prepare(model.tokenizer, t));
    }
  }
  REQUIRE(tasks.size() == 7);
  std::vector<std::vector<double>> first;
  for (const int n : {1, 3}) {
    bq::thread_pool threads(n);
    for (const std::int64_t batch : {5, 2048}) {
      std::vector<std::vector<double>> scores;
      bq_llm::score_continuations(model.model, tasks, {.batch = batch}, threads,
                                  [&](std::size_t t, std::span<const double> s) {
                                    CHECK(t == scores.size());
                                    scores.emplace_back(s.begin(), s.end());
                                  });
      if (first.empty()) first = scores;
      CHECK(scores == first);
    }
  }
  for (std::size_t t = 0; t < tasks.size(); ++t) {
    REQUIRE(first[t].size() == tasks[t].size());
    for (std::size_t c = 0; c < tasks[t].size(); ++c) {
      CHECK(first[t][c] == doctest::Approx(expected_score(model.model, tasks[t][c])).epsilon(1e-6));
    }
  }
}

TEST_CASE("what is scored of an ending, and of a sentence") {
  const bq_llm::language_model model(BQ_MODEL);
  const auto length = [&](const std::string& s) {
    return static_cast<std::int64_t>(model.tokenizer.encode(s, true, false).size());
  };
  const auto endings = score_endings(model.tokenizer, {.before = "The ship ", .choices = {"was lost", "was lost"}});
  CHECK(endings[0].end == length("The ship was lost"));
  CHECK(endings[0].first == endings[0].end - 1);  // equal choices keep a token

  choice_task t{
      .before = "In the night the ", .after = " was cold, and nobody came to the house.", .choices = {"sea", "winter"}};
  for (std::size_t i = 0; i < 2; ++i) {
    const auto c = score_sentences(model.tokenizer, t)[i];
    CHECK(c.first == length(t.before + t.choices[i]));
    CHECK(c.end == length(t.before + t.choices[i] + t.after) - 1);
  }
  t.after.clear();
  const auto short_ones = score_sentences(model.tokenizer, t);
  CHECK(short_ones[0].first == bq_llm::common_prefix(short_ones));
  CHECK(short_ones[0].first < short_ones[0].end);
}

TEST_CASE("fields of task files") {
  const test::scratch dir;
  const auto w = read_winogrande(dir.add("w", winogrande));
  REQUIRE(w.size() == 3);
  CHECK(w[0].before == "The cup did not fit into the box, because the ");
  CHECK(w[0].after == " was too small.");
  CHECK(w[2].choices == std::vector<std::string>{"sea", "old house"});
  CHECK(w[0].right == std::vector<bool>{false, true});
  CHECK(w[2].place == "line 3");
  const auto h = read_hellaswag(dir.add("h", hellaswag));
  CHECK(h[1].before == "The ship ");
  CHECK(h[1].right == std::vector<bool>{false, false, false, true});
  const auto m = read_multiple_choice(dir.add("m", multiple_choice()));
  CHECK(m[1].before == "Who was there? ");
  CHECK(m[1].right == std::vector<bool>{false, true, false});
}

TEST_CASE("damaged task files are refused, naming the place") {
  const test::scratch dir;
  const auto damaged = [&](std::size_t kind, std::string bytes, const std::string& from, const std::string& to) {
    if (!from.empty()) bytes.replace(bytes.find(from), from.size(), to);
    const auto e = refusal(task_kinds()[kind], dir.add("damaged", bytes));
    REQUIRE(e);
    CHECK(e->file == dir / "damaged");
    return *e;
  };
  CHECK(damaged(0, "", "", "").code == bq::errc::truncated);
  CHECK(damaged(0, hellaswag + "more\n", "", "").code == bq::errc::truncated);
  const auto label = damaged(0, hellaswag, "\n3\n", "\n4\n");
  CHECK(label.code == bq::errc::bad_value);
  CHECK(label.subject == "line 8");
  CHECK(label.offset == hellaswag.find("\n3\n") + 1);
  CHECK(damaged(0, hellaswag, "sank.\n", "\n").subject == "line 12");
  CHECK(damaged(1, winogrande, ",Mary,2", ",Mary,3").subject == "line 2");
  CHECK(damaged(1, winogrande, ",Mary,2", ",Mary,").code == bq::errc::bad_value);
  CHECK(damaged(1, winogrande, ",Mary,2", "").code == bq::errc::missing_key);
  CHECK(damaged(1, winogrande, "the _ was", "the gap was").code == bq::errc::missing_key);

  const std::string whole = multiple_choice();
  for (std::size_t n = 0; n < whole.size(); ++n) {
    CAPTURE(n);
    CHECK(refusal(task_kinds()[2], dir.add("cut", whole.substr(0, n))));
  }
  CHECK(damaged(2, whole + "x", "", "").code == bq::errc::trailing_data);
  CHECK(damaged(2, whole, u32(12), u32(13)).code == bq::errc::bad_offset);
  CHECK(damaged(2, whole, text("a stone"), u32(0xffffffff) + "a stone").offset);
  CHECK(damaged(2, u32(0xffffffff) + whole, "", "").code == bq::errc::bad_count);
  CHECK(refusal(task_kinds()[2], dir / "missing")->code == bq::errc::io);
}

TEST_CASE("tasks are drawn with a fixed seed") {
  std::vector<std::size_t> all = select_shuffled(500, 1000);
  std::ranges::sort(all);
  CHECK((all.size() == 500 && all.front() == 0 && all.back() == 499));
  CHECK(std::ranges::adjacent_find(all) == all.end());
  // What a std::mt19937 of seed 1 draws first, 1791095845 / 2^32, of a hundred.
  CHECK(select_shuffled(100, 3)[0] == 41);
  CHECK(select_some(100, 3)[0] == 41);
  CHECK(select_some(3, 0).empty());
  CHECK(select_some(3, 3) == std::vector<std::size_t>{0, 1, 2});
}

TEST_CASE("accuracy, with its error, interval and what guessing gives") {
  std::vector<answer> answers(40, {.scores = {0, 0, 0, 0}});
  for (std::size_t i = 0; i < 10; ++i) answers[i].right = true;
  const accuracy a(answers);
  CHECK(a.share.value == doctest::Approx(0.25));
  CHECK(a.share.error == doctest::Approx(std::sqrt(0.25 * 0.75 / 39)));
  CHECK(a.chance.value == doctest::Approx(0.25));
  // Both ends p of Wilson's interval solve |10/40 - p| = 1.96 sqrt(p (1 - p) / 40).
  for (const double p : {a.within.low, a.within.high}) {
    CHECK(std::abs(0.25 - p) == doctest::Approx(1.959963984540054 * std::sqrt(p * (1 - p) / 40)));
  }
}
