// thread_pool: workers take task numbers from one atomic counter, and come and go through one atomic word, the gate:
//
//   bits 0-10: workers inside, bit 11: open, bit 12: run() sleeps until the last one has left, from 13: round
//
// A worker enters an open gate at most once in a round; run() closes it when no task is left, and waits for those
// inside only. Both look for a moment before they sleep, since the next loop often follows within microseconds and
// waking a thread takes tens of them.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "blockquant/error.hpp"
#include "blockquant/parallel.hpp"

namespace bq {

namespace {
constexpr int most_threads = 1024;
constexpr std::uint32_t inside = 2 * most_threads - 1, open = inside + 1, sleeping = 2 * open, one_round = 2 * sleeping;
constexpr std::chrono::microseconds patience{100};
}  // namespace

struct thread_pool::state {
  std::atomic<std::uint32_t> gate{0};
  std::atomic<bool> stop{false};
  bool patient = false;  // there is a processor for every thread: looking takes nobody's time
  const std::function<void(std::size_t)>* task = nullptr;
  std::size_t count = 0;
  std::mutex mutex;  // of failure; it also keeps the gate and the counter a cache line apart
  std::atomic<std::size_t> next{0};
  std::exception_ptr failure;
  std::vector<std::thread> workers;

  void work_off() {
    for (std::size_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < count;) {
      try {
        (*task)(i);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!failure) failure = std::current_exception();
        next.store(count, std::memory_order_relaxed);
      }
    }
  }

  // Looks at the gate until it is as wanted, or patience ends. Returns what it saw last.
  template <class Wanted>
  std::uint32_t look(const Wanted& wanted) const {
    std::uint32_t seen = gate.load();
    const auto end = std::chrono::steady_clock::now() + patience;
    while (patient && !wanted(seen) && std::chrono::steady_clock::now() < end) seen = gate.load();
    return seen;
  }

  void worker() {
    for (std::uint32_t round = 0;;) {
      const auto another = [&](std::uint32_t g) { return g / one_round != round; };
      std::uint32_t g = look(another);
      for (; !another(g); g = gate.load()) gate.wait(g);
      if (stop) return;
      round = g / one_round;
      while ((g & open) && !another(g)) {
        if (!gate.compare_exchange_weak(g, g + 1)) continue;
        work_off();
        g = gate.fetch_sub(1);
        if ((g & sleeping) && (g & inside) == 1) gate.notify_all();
        break;
      }
    }
  }

  void begin_round(std::uint32_t open_or_not) {
    gate = (gate / one_round + 1) * one_round + open_or_not;
    gate.notify_all();
  }

  void end_round() {
    const auto left = [](std::uint32_t g) { return (g & inside) == 0; };
    if (left(gate.fetch_and(~open)) || left(look(left))) return;
    for (std::uint32_t g = gate.fetch_or(sleeping) | sleeping; !left(g); g = gate) gate.wait(g);
  }

  void shut_down() {
    stop = true;
    begin_round(0);
    for (std::thread& t : workers) t.join();
  }
};

thread_pool::thread_pool(int threads) : state_(std::make_unique<state>()) {
  const int processors = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  if (threads == 0) threads = processors;
  if (threads < 0 || threads > most_threads) {
    throw error({.code = errc::invalid_argument,
                 .message = "no such number of threads",
                 .expected = "0 (one per hardware thread) to " + std::to_string(most_threads),
                 .found = std::to_string(threads)});
  }
  state_->patient = threads <= processors;
  try {
    for (int i = 1; i < threads; ++i) state_->workers.emplace_back([s = state_.get()] { s->worker(); });
  } catch (...) {
    state_->shut_down();
    throw;
  }
}

thread_pool::~thread_pool() { state_->shut_down(); }

int thread_pool::concurrency() const noexcept { return static_cast<int>(state_->workers.size()) + 1; }

void thread_pool::run(std::size_t count, const std::function<void(std::size_t)>& task) {
  state& s = *state_;
  s.task = &task;
  s.count = count;
  s.next.store(0, std::memory_order_relaxed);
  if (count > 1 && !s.workers.empty()) s.begin_round(open);
  s.work_off();
  s.end_round();
  if (s.failure) std::rethrow_exception(std::exchange(s.failure, nullptr));
}

}  // namespace bq
