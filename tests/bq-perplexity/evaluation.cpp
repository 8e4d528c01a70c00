// Log-softmax and the statistics against f64, and windows whose results depend neither on threads nor on the batch.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <random>

#include "divergence.hpp"
#include "evaluation/language_model.hpp"
#include "evaluation/log_softmax.hpp"
#include "evaluation/perplexity.hpp"

namespace {

std::vector<float> random_logits(std::size_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 3.0f);
  std::vector<float> x(n);
  for (float& v : x) v = normal(random);
  return x;
}

// ln of the sum of exp, in f64.
double log_sum_exp(const std::vector<float>& x) {
  const double max = *std::max_element(x.begin(), x.end());
  double sum = 0;
  for (const float v : x) sum += std::exp(v - max);
  return max + std::log(sum);
}

std::string text() {
  std::ifstream file(BQ_TEST_TEXT, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

TEST_CASE("the exponential of negative numbers") {
  CHECK(bq_llm::exp_of_negative(0.0f) == 1.0f);
  for (float x = -80; x < 0; x += 0.0371f) {
    const double exact = std::exp(static_cast<double>(x));
    CHECK(std::abs(bq_llm::exp_of_negative(x) - exact) <= exact * (1 - x) * 0x1p-22);
  }
  CHECK(bq_llm::exp_of_negative(-1e30f) < 1e-37f);
}

TEST_CASE("log-softmax and KL divergence are those of f64, at any size of vocabulary") {
  for (const std::size_t n : {1u, 2u, 15u, 17u, 1023u, 1024u, 1041u, 49152u}) {
    CAPTURE(n);
    const auto p = random_logits(n, 1), q = random_logits(n, 2);
    const auto sp = bq_llm::summarise(p), sq = bq_llm::summarise(q);
    CHECK(sp.top == static_cast<std::size_t>(std::max_element(p.begin(), p.end()) - p.begin()));
    CHECK(sp.log_probability(p[n / 2]) == doctest::Approx(p[n / 2] - log_sum_exp(p)).epsilon(1e-6));
    std::vector<float> log_p(n);
    bq_llm::log_probabilities(p, sp, log_p);
    const double of_p = log_sum_exp(p), of_q = log_sum_exp(q);
    double kld = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const double lp = p[i] - of_p, lq = q[i] - of_q;
      kld += std::exp(lp) * (lp - lq);
    }
    CHECK(std::abs(bq_llm::kl_divergence(log_p, q, sq) - kld) <= 1e-5 * (1 + kld));
    CHECK(bq_llm::kl_divergence(log_p, p, sp) == 0.0);
  }
}

TEST_CASE("NaN and infinite logits are seen") {
  auto x = random_logits(100, 3);
  x[70] = NAN;
  CHECK_FALSE(std::isfinite(bq_llm::summarise(x).log_sum));
  x[70] = INFINITY;
  CHECK_FALSE(std::isfinite(bq_llm::summarise(x).log_sum));
}

TEST_CASE("statistics of divergences") {
  std::vector<bq_perplexity::token_divergence> tokens;
  std::mt19937 random(5);
  std::uniform_real_distribution<double> uniform(0.1, 4.0);
  for (int i = 0; i < 500; ++i) {
    const double base = uniform(random), nll = base + 0.1 * uniform(random);
    tokens.push_back({nll, base, 0.01 * uniform(random), std::exp(-nll) - std::exp(-base), i % 4 != 0});
  }
  const bq_perplexity::divergence_statistics s(tokens);
  double m = 0, b = 0, covariance = 0, vm = 0, vb = 0;
  for (const auto& t : tokens) m += t.nll / 500, b += t.base_nll / 500;
  for (const auto& t : tokens) {
    covariance += (t.nll - m) * (t.base_nll - b);
    vm += (t.nll - m) * (t.nll - m), vb += (t.base_nll - b) * (t.base_nll - b);
  }
  CHECK(s.perplexity.value == doctest::Approx(std::exp(m)));
  CHECK(s.perplexity.error == doctest::Approx(std::exp(m) * std::sqrt(vm / 500 / 499)));
  CHECK(s.ratio.value == doctest::Approx(std::exp(m - b)));
  CHECK(s.correlation == doctest::Approx(covariance / std::sqrt(vm * vb)));
  CHECK(s.same_top.value == doctest::Approx(0.75));
  CHECK(bq_perplexity::quantile(s.sorted_kld, 1) == s.sorted_kld.back());
  const double four[] = {1, 2, 4, 8};
  CHECK(bq_perplexity::quantile(four, 0.5) == 3);
}

TEST_CASE("the same digits for any number of threads and any batch") {
  const bq_llm::language_model model(BQ_MODEL);
  const auto windows = bq_llm::cut_windows(model.tokenizer, text(), {.length = 128, .at_most = 5});
  CHECK(windows.count == 5);
  std::vector<double> expected;
  for (const int n : {1, 3}) {
    bq::thread_pool threads(n);
    for (const std::int64_t batch : {50, 128, 300, 2048}) {
      bq_llm::window_evaluator evaluator(model.model, windows, {.evaluation = {.threads = &threads}, .batch = batch});
      const auto nll = bq_llm::score_text(evaluator, windows, threads, [](std::span<const double>) {});
      REQUIRE(nll.size() == 5 * 63);
      if (expected.empty()) expected = nll;
      CHECK(std::memcmp(nll.data(), expected.data(), nll.size() * sizeof(double)) == 0);
    }
  }
  CHECK(bq_llm::perplexity(expected).value > 5);
  CHECK(bq_llm::perplexity(expected).value < 100);
}

TEST_CASE("texts that are too short, and windows that are, are refused") {
  const bq_llm::language_model model(BQ_MODEL);
  const auto code = [&](const std::string& t, std::int64_t length) {
    try {
      bq_llm::cut_windows(model.tokenizer, t, {.length = length});
    } catch (const bq::error& e) {
      return e.code();
    }
    return bq::errc::io;
  };
  CHECK(code("few words", 512) == bq::errc::out_of_range);
  CHECK(code(text(), 3) == bq::errc::out_of_range);
  CHECK(code("", 4) == bq::errc::out_of_range);
}
