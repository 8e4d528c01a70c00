// The forward pass against our own model's golden data, made with f32 arithmetic by other software: logits within 2e-3,
// and greedy continuations token for token. The file holds for each prompt int32 n, m, ids[n] = bos, prompt and 40
// greedy tokens; then m times int32 position and f32 logits[4096].
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <blockquant/error.hpp>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "model/evaluator.hpp"

namespace {

constexpr std::size_t vocabulary = 4096, generated = 40;

struct prompt {
  std::vector<int> ids;
  std::vector<std::pair<int, std::vector<float>>> logits;  // position and values
};

std::vector<prompt> read_golden() {
  std::ifstream in(BQ_GOLDEN, std::ios::binary);
  REQUIRE(in);
  const auto number = [&] {
    std::int32_t n = 0;
    in.read(reinterpret_cast<char*>(&n), 4);
    return n;
  };
  std::vector<prompt> prompts(3);
  for (prompt& p : prompts) {
    p.ids.resize(static_cast<std::size_t>(number()));
    p.logits.resize(static_cast<std::size_t>(number()));
    for (int& id : p.ids) id = number();
    for (auto& [position, values] : p.logits) {
      position = number();
      values.resize(vocabulary);
      in.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(vocabulary * sizeof(float)));
    }
  }
  REQUIRE(in);
  return prompts;
}

struct loaded {
  bq_llm::model_file file{BQ_MODEL};
  bq_llm::decoder model = bq_llm::describe(file);
};

// The logits of every token, in calls of at most `batch` tokens.
std::vector<float> all_logits(const bq_llm::decoder& model, const std::vector<int>& ids, std::size_t batch,
                              const bq_llm::evaluator_options& options, bq_llm::kv_cache_options cache_options = {}) {
  cache_options.context = static_cast<std::int64_t>(ids.size());
  bq_llm::kv_cache cache(model, cache_options);
  bq_llm::evaluator run(model, options);
  std::vector<float> out(ids.size() * vocabulary);
  for (std::size_t at = 0; at < ids.size(); at += batch) {
    const bq_llm::batch_part part{0, std::span(ids).subspan(at, std::min(batch, ids.size() - at))};
    const auto hidden = run.run({&part, 1}, cache);
    run.logits(hidden, std::span(out).subspan(at * vocabulary, part.tokens.size() * vocabulary));
  }
  return out;
}

}  // namespace

TEST_CASE("logits are the golden ones, and greedy tokens follow") {
  const loaded l;
  bq::thread_pool threads(2);
  for (const prompt& p : read_golden()) {
    // f32 keys and values: the golden run had no cache.
    const auto logits = all_logits(l.model, p.ids, p.ids.size(), {.threads = &threads},
                                   {.keys = bq::type::f32, .values = bq::type::f32});
    for (const auto& [position, expected] : p.logits) {
      double worst = 0;
      for (std::size_t i = 0; i < vocabulary; ++i) {
        worst = std::max<double>(worst,
                                 std::abs(logits[static_cast<std::size_t>(position) * vocabulary + i] - expected[i]));
      }
      CHECK(worst <= 2e-3);
    }
    for (std::size_t i = p.ids.size() - generated; i < p.ids.size(); ++i) {
      const auto* row = &logits[(i - 1) * vocabulary];
      CHECK(std::max_element(row, row + vocabulary) - row == p.ids[i]);
    }
    // With the default cache too.
    const auto f16 = all_logits(l.model, p.ids, p.ids.size(), {.threads = &threads});
    for (std::size_t i = p.ids.size() - generated; i < p.ids.size(); ++i) {
      const auto* row = &f16[(i - 1) * vocabulary];
      CHECK(std::max_element(row, row + vocabulary) - row == p.ids[i]);
    }
  }
}

TEST_CASE("results depend neither on threads, nor on how tokens are divided, nor on other sequences") {
  const loaded l;
  const auto prompts = read_golden();
  const auto expected = all_logits(l.model, prompts[0].ids, prompts[0].ids.size(), {});
  bq::thread_pool threads(3);
  for (const std::size_t batch : {std::size_t{1}, std::size_t{7}}) {
    const auto y = all_logits(l.model, prompts[0].ids, batch, {.threads = &threads});
    CHECK(std::memcmp(y.data(), expected.data(), y.size() * sizeof(float)) == 0);
  }
  bq_llm::kv_cache cache(l.model, {.context = 128, .sequences = 2});
  bq_llm::evaluator run(l.model, {.threads = &threads});
  const bq_llm::batch_part parts[] = {{1, prompts[1].ids}, {0, prompts[0].ids}};
  const auto hidden = run.run(parts, cache);
  std::vector<float> y(expected.size());
  run.logits(hidden.subspan(prompts[1].ids.size() * static_cast<std::size_t>(l.model.embedding)), y);
  CHECK(std::memcmp(y.data(), expected.data(), y.size() * sizeof(float)) == 0);
}

TEST_CASE("tokens that are not wanted change nothing for those that are") {
  const loaded l;
  const auto prompts = read_golden();
  const auto width = static_cast<std::size_t>(l.model.embedding);
  bq::thread_pool threads(2);
  bq_llm::evaluator run(l.model, {.threads = &threads});
  // Of each prompt `wanted` tokens, the rest and its last token in a second call.
  const auto hidden_of = [&](std::array<std::size_t, 3> wanted, std::size_t wanted_later) {
    bq_llm::kv_cache cache(l.model, {.context = 128, .sequences = 3});
    std::vector<bq_llm::batch_part> first, second;
    for (std::size_t i = 0; i < 3; ++i) {
      const std::span<const int> ids(prompts[i].ids);
      first.push_back({static_cast<int>(i), ids.first(30), wanted[i]});
      second.push_back({static_cast<int>(i), ids.subspan(30, 7), wanted_later});
    }
    const auto a = run.run(first, cache);
    std::vector<float> all(a.begin(), a.end());
    const auto b = run.run(second, cache);
    all.insert(all.end(), b.begin(), b.end());
    return all;
  };
  constexpr auto every = bq_llm::batch_part::all_tokens;
  const auto all = hidden_of({every, every, every}, every);
  REQUIRE(all.size() == (3 * 30 + 3 * 7) * width);
  for (const std::array<std::size_t, 3> wanted : {std::array<std::size_t, 3>{0, 0, 0}, {1, 0, 30}, {12, 29, 1}}) {
    const auto some = hidden_of(wanted, 2);
    auto at = some.begin();
    const auto same = [&](std::size_t row, std::size_t n) {  // as `all` has from its row on
      REQUIRE(static_cast<std::size_t>(some.end() - at) >= n * width);
      const bool equal = std::equal(at, at + static_cast<std::ptrdiff_t>(n * width), &all[row * width]);
      at += static_cast<std::ptrdiff_t>(n * width);
      return equal;
    };
    for (std::size_t i = 0; i < 3; ++i) CHECK(same(30 * i + 30 - wanted[i], wanted[i]));
    for (std::size_t i = 0; i < 3; ++i) CHECK(same(3 * 30 + 7 * i + 5, 2));
    CHECK(at == some.end());
  }
}

TEST_CASE("every weight is observed with its activations") {
  const loaded l;
  std::vector<std::string> names;
  bq_llm::evaluator_options options;
  options.observe = [&](std::string_view name, std::span<const float> x, std::int64_t tokens) {
    names.emplace_back(name);
    CHECK(tokens == 3);
    CHECK(x.size() % 3 == 0);
  };
  all_logits(l.model, {0, 5, 6}, 3, options);
  CHECK(names.size() == 7 * l.model.layers.size() + 1);
  CHECK(names.front() == "blk.0.attn_q.weight");
  CHECK(names.back() == "token_embd.weight");
}

TEST_CASE("ids that are no tokens, and full caches, are errors and change nothing") {
  const loaded l;
  bq_llm::kv_cache cache(l.model, {.context = 4});
  bq_llm::evaluator run(l.model, {});
  const auto code = [&](const std::vector<int>& ids) {
    const bq_llm::batch_part part{0, ids};
    try {
      run.run({&part, 1}, cache);
    } catch (const bq::error& e) {
      return e.code();
    }
    return bq::errc::invalid_argument;
  };
  CHECK(code({0, 4096}) == bq::errc::out_of_range);
  CHECK(code({-1}) == bq::errc::out_of_range);
  CHECK(code({0, 1, 2, 3, 4}) == bq::errc::out_of_range);
  CHECK(cache.length(0) == 0);
  CHECK_THROWS_AS(bq_llm::kv_cache(l.model, {.keys = bq::type::q4_K}), bq::error);
}
