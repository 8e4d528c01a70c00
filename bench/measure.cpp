#include "measure.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <thread>

namespace bq_bench {
namespace {

using clock = std::chrono::steady_clock;

constexpr double shortest_repetition = 2e-4, turn_seconds = 0.03, warm_up_seconds = 0.02;
// Workers of a peer may spin for a while after its last call.
constexpr auto settling = std::chrono::milliseconds(5);

class runner {
 public:
  explicit runner(const contestant& c) : contestant_(c) {
    double spent = 0, fastest = repetition(1);
    while (spent < warm_up_seconds) {
      const double seconds = repetition(1);
      fastest = std::min(fastest, seconds);
      spent += seconds;
    }
    calls_ = static_cast<std::size_t>(std::ceil(shortest_repetition / fastest));
  }

  void take_turn() {
    double spent = 0;
    while (spent < turn_seconds) {
      const double seconds = repetition(calls_);
      seconds_.push_back(seconds / static_cast<double>(calls_));
      spent += seconds;
    }
    spent_ += spent;
    contestant_.rest();
  }

  bool is_done(const patience& limits) const {
    if (seconds_.size() < limits.least) return false;
    return spent_ >= limits.seconds || summarise(seconds_).spread <= limits.spread;
  }

  timing result() const { return summarise(seconds_); }

 private:
  double repetition(std::size_t calls) {
    const auto start = clock::now();
    for (std::size_t i = 0; i < calls; ++i) contestant_.call(turn_++);
    return std::chrono::duration<double>(clock::now() - start).count();
  }

  const contestant& contestant_;
  std::size_t turn_ = 0, calls_ = 1;
  std::vector<double> seconds_;
  double spent_ = 0;
};

// The value below which this part of a sorted, non-empty list lies, interpolated.
double quantile(const std::vector<double>& sorted, double part) {
  const double at = part * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (at - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

}  // namespace

timing summarise(std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  const double median = quantile(seconds, 0.5);
  return {median, seconds.front(), (quantile(seconds, 0.75) - quantile(seconds, 0.25)) / median, seconds.size()};
}

std::vector<timing> measure(std::span<const contestant> contestants, const patience& limits) {
  std::vector<runner> runners;
  for (const contestant& c : contestants) {
    runners.emplace_back(c);
    c.rest();
  }
  const auto done = [&](const runner& r) { return r.is_done(limits); };
  while (!std::all_of(runners.begin(), runners.end(), done)) {
    for (runner& r : runners) {
      if (runners.size() > 1) std::this_thread::sleep_for(settling);
      r.take_turn();
    }
  }
  std::vector<timing> out;
  for (const runner& r : runners) out.push_back(r.result());
  return out;
}

}  // namespace bq_bench
