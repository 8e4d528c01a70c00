// The sampler against its definitions, written down plainly in f64 with the library's exp; draws against probabilities;
// and fixed seeds, whose tokens must be the same on every machine.
#include <doctest/doctest.h>

#include <algorithm>
#include <blockquant/error.hpp>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>
#include <vector>

#include "sampling/portable_exp.hpp"
#include "sampling/sampler.hpp"

namespace {

using bq_llm::sampler;
using bq_llm::sampling_options;

std::vector<float> random_logits(std::size_t n, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<float> x(n);
  // Few values, so that ties are common.
  for (float& v : x) v = static_cast<float>(random() % 64) / 8.0f - 4.0f;
  return x;
}

std::map<int, double> softmax(const std::vector<double>& logits, const std::vector<int>& ids, double temperature) {
  double best = -1e300, sum = 0;
  for (const int id : ids) best = std::max(best, logits[static_cast<std::size_t>(id)]);
  std::map<int, double> p;
  for (const int id : ids) sum += p[id] = std::exp((logits[static_cast<std::size_t>(id)] - best) / temperature);
  for (auto& [id, value] : p) value /= sum;
  return p;
}

// As the header of sampler.hpp defines it, with everything sorted at every step.
std::map<int, double> defined(const std::vector<float>& given, const std::vector<int>& history,
                              const sampling_options& o) {
  std::vector<double> logits(given.begin(), given.end());
  const std::size_t window = o.repeat_window < 0 ? history.size() : static_cast<std::size_t>(o.repeat_window);
  const std::set<int> seen(history.end() - static_cast<std::ptrdiff_t>(std::min(window, history.size())),
                           history.end());
  for (const int id : seen) {
    double& l = logits[static_cast<std::size_t>(id)];
    l = l > 0 ? l / o.repeat_penalty : l * o.repeat_penalty;
  }
  std::vector<int> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  std::stable_sort(ids.begin(), ids.end(), [&](int a, int b) {
    return static_cast<float>(logits[static_cast<std::size_t>(a)]) >
           static_cast<float>(logits[static_cast<std::size_t>(b)]);
  });
  if (o.temperature == 0) return {{ids[0], 1.0}};
  if (o.top_k > 0) ids.resize(std::min(ids.size(), static_cast<std::size_t>(o.top_k)));
  const auto p = softmax(logits, ids, 1.0);
  std::vector<int> kept;
  double sum = 0;
  for (const int id : ids) {
    const bool enough = o.top_p < 1 && sum >= o.top_p;
    if (!kept.empty() && (enough || p.at(id) < o.min_p * p.at(ids[0]))) break;
    kept.push_back(id);
    sum += p.at(id);
  }
  return softmax(logits, kept, o.temperature);
}

bq::errc error_of(const sampling_options& o) {
  try {
    const sampler s(o);
  } catch (const bq::error& e) {
    return e.code();
  }
  return bq::errc::io;
}

}  // namespace

TEST_CASE("distributions are the defined ones") {
  std::uint64_t seed = 1;
  for (const double temperature : {0.0, 0.3, 1.0, 2.5}) {
    for (const std::int64_t top_k : {0, 1, 7, 1000}) {
      for (const double top_p : {0.0, 0.37, 0.93, 1.0}) {
        for (const double min_p : {0.0, 0.06, 1.0}) {
          for (const double penalty : {1.0, 1.3, 0.8}) {
            const auto logits = random_logits(200, ++seed);
            const std::vector<int> history = {3, 5, 5, 199, 0, 5, 77, 78};
            const sampling_options o{.temperature = temperature,
                                     .top_k = top_k,
                                     .top_p = top_p,
                                     .min_p = min_p,
                                     .repeat_penalty = penalty,
                                     .repeat_window = static_cast<std::int64_t>(seed % 12) - 1};
            sampler s(o);
            const auto expected = defined(logits, history, o);
            const auto found = s.distribution(logits, history);
            CAPTURE(seed);
            REQUIRE(found.size() == expected.size());
            for (const auto& c : found) {
              REQUIRE(expected.count(c.id) == 1);
              CHECK(c.probability == doctest::Approx(expected.at(c.id)).epsilon(1e-6));
            }
          }
        }
      }
    }
  }
}

TEST_CASE("draws come as often as they are likely") {
  const std::vector<float> logits = {1.0f, 0.0f, -1.0f, 0.5f, -3.0f};
  sampler s({.temperature = 0.9, .top_k = 0, .top_p = 1, .min_p = 0, .seed = 7});
  std::map<int, double> p;
  for (const auto& c : s.distribution(logits, {})) p[c.id] = c.probability;
  constexpr int draws = 20000;
  std::map<int, int> count;
  for (int i = 0; i < draws; ++i) ++count[s.next(logits, {})];
  for (const auto& [id, value] : p) {
    CHECK(std::abs(count[id] - draws * value) < 4.5 * std::sqrt(draws * value * (1 - value)));
  }
}

TEST_CASE("a seed gives the same tokens on every machine") {
  const auto tokens = [](std::uint64_t seed) {
    sampler s({.seed = seed});
    std::vector<int> ids;
    for (std::uint64_t i = 0; i < 12; ++i) ids.push_back(s.next(random_logits(1000, i), ids));
    return ids;
  };
  CHECK(tokens(1) == std::vector<int>{160, 332, 914, 45, 51, 528, 63, 110, 950, 103, 622, 34});
  CHECK(tokens(2) == std::vector<int>{104, 770, 855, 89, 917, 287, 785, 136, 25, 154, 874, 938});
}

TEST_CASE("e^x to the last digits") {
  for (int i = 0; i < 1860; ++i) {
    const double x = -0.37 * i;
    CHECK(bq_llm::portable_exp(x) == doctest::Approx(std::exp(x)).epsilon(1e-15));
  }
  CHECK(bq_llm::portable_exp(0) == 1.0);
  CHECK(bq_llm::portable_exp(-1e9) == 0.0);
  CHECK(bq_llm::portable_exp(-std::numeric_limits<double>::infinity()) == 0.0);
}

TEST_CASE("ties go to the lower id, banned tokens never come, repetition is punished") {
  const std::vector<float> logits = {0.5f, 2.0f, 2.0f, 1.9f};
  sampler greedy({.temperature = 0});
  const std::vector<int> banned = {1, 2};
  CHECK(greedy.next(logits, {}) == 1);
  CHECK(greedy.next(logits, {}, banned) == 3);
  sampler punishing({.temperature = 0, .repeat_penalty = 1.5, .repeat_window = 2});
  CHECK(punishing.next(logits, std::vector<int>{1}) == 2);
  CHECK(punishing.next(logits, std::vector<int>{1, 2}) == 3);
  CHECK(punishing.next(logits, std::vector<int>{1, 0, 2}) == 1);
}

TEST_CASE("impossible options and impossible logits are errors") {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  for (const sampling_options& o :
       {sampling_options{.temperature = -1}, sampling_options{.temperature = nan}, sampling_options{.top_k = -1},
        sampling_options{.top_p = 1.5}, sampling_options{.top_p = nan}, sampling_options{.min_p = -0.1},
        sampling_options{.repeat_penalty = 0}, sampling_options{.repeat_penalty = nan}}) {
    CHECK(error_of(o) == bq::errc::invalid_argument);
  }
  constexpr float infinity = std::numeric_limits<float>::infinity();
  sampler s({});
  for (const std::vector<float>& logits :
       {std::vector<float>{1.0f, static_cast<float>(nan)}, std::vector<float>{infinity, 0.0f},
        std::vector<float>{-infinity, -infinity}, std::vector<float>{}}) {
    CHECK_THROWS_AS(s.next(logits, {}), bq::error);
  }
  CHECK(s.next(std::vector<float>{-infinity, -1.0f}, {}) == 1);
}
