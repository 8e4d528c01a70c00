// thread_pool: rounds of tasks, one for each run(). Every thread has a part of a round's tasks, one after the other,
// which it claims one by one; at its end it claims those of the parts behind it. What threads tell each other is as
// little as can be, since every cache line that one writes and the other reads takes a tenth of a microsecond or more:
//
//   call   the round and its tasks: all that a worker has to see to begin
//   claim  of each part: the round and its next task; one of an older round has not begun. Only a claim lets a thread
//          touch the round's tasks, and once all are claimed no claim of that round succeeds any more: a worker that
//          comes late finds nothing, and nobody waits for it
//   ended  of each worker: the round and the tasks that it has run; run() waits until these sum up
//
// Both look for a moment before they sleep, since the next loop often follows within microseconds and waking a thread
// takes tens of them. run() looks for sleepers when it has called, and again behind its first task, when the call has
// certainly reached them: to wait for that before would take longer than many a task.
#include <algorithm>
#include <array>
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
constexpr int task_bits = 20;
constexpr std::size_t most_tasks = (1 << task_bits) - 1;  // of a round; of rounds there are enough for months
constexpr std::chrono::microseconds patience{100};
constexpr int looks_per_glance = 16;  // at the clock

constexpr std::uint64_t packed(std::uint64_t round, std::size_t tasks) { return round << task_bits | tasks; }
constexpr std::uint64_t round_of(std::uint64_t word) { return word >> task_bits; }
constexpr std::size_t tasks_of(std::uint64_t word) { return word & most_tasks; }

// So many lines are asked for between two looks, of each expected read at most so many bytes, since they have to stay
// in the second-level cache, and so many reads are kept, which one cache line tells of.
constexpr std::size_t line = 64, lines_at_once = 8, most_bytes = 256 << 10, most_expected = 3;
}  // namespace

struct thread_pool::state {
  struct participant {
    alignas(64) std::atomic<std::uint64_t> claim{0};
    alignas(64) std::atomic<std::uint64_t> ended{0};
    alignas(64) std::uint32_t version = 0;   // of the expectations that it asks for now
    std::size_t expectation = 0, bytes = 0;  // the one it has come to, and how much of its part it has asked for
  };
  struct expectation {
    std::atomic<const std::byte*> begin{nullptr};
    std::atomic<std::size_t> size_and_divided{0};  // in the lowest bit
  };

  std::vector<participant> participants;  // the caller of run() first
  std::vector<std::thread> workers;
  bool patient = false;  // there is a processor for every thread: looking takes nobody's time
  std::mutex mutex;      // of failure
  std::exception_ptr failure;
  std::atomic<bool> failed{false}, stop{false};

  alignas(64) std::atomic<std::uint64_t> call{0};
  std::atomic<const std::function<void(std::size_t)>*> body{nullptr};
  std::atomic<std::uint32_t> round{0};                 // of call, which workers sleep on
  alignas(64) std::atomic<std::uint32_t> sleepers{0};  // workers
  alignas(64) std::atomic<bool> asleep{false};         // run(), until `woken` changes
  std::atomic<std::uint32_t> woken{0};
  alignas(64) std::atomic<std::uint32_t> version{0};  // of what is expected
  std::array<expectation, most_expected> expected;

  // Asks for a few lines of what is expected to be read. What it sees may be half of one expectation and half of
  // another: asking for any address does no harm.
  void prefetch(std::size_t self) {
    participant& t = participants[self];
    const std::uint32_t now = version.load(std::memory_order_acquire);
    if (now != t.version) t.version = now, t.expectation = 0, t.bytes = 0;
    for (; t.expectation < most_expected; ++t.expectation, t.bytes = 0) {
      const expectation& e = expected[t.expectation];
      const std::size_t word = e.size_and_divided.load(std::memory_order_relaxed), n = participants.size();
      const std::size_t size = word / 2;
      const bool divided = word % 2 != 0;
      const std::size_t first = divided ? size * self / n : 0, last = divided ? size * (self + 1) / n : size;
      const std::size_t from = first + t.bytes, to = std::min(last, first + most_bytes);
      if (from >= to) continue;
      const std::byte* p = e.begin.load(std::memory_order_relaxed);
      for (std::size_t i = 0; i < lines_at_once; ++i) __builtin_prefetch(p + from + i * line, 0, 2);
      t.bytes += lines_at_once * line;
      return;
    }
  }

  // Claims a task of a part, if one is left.
  bool claimed(std::uint64_t of, std::size_t part, std::size_t& task) {
    const std::size_t count = tasks_of(of), n = participants.size();
    const std::size_t begin = count * part / n, end = count * (part + 1) / n;
    std::atomic<std::uint64_t>& claim = participants[part].claim;
    std::uint64_t seen = claim.load(std::memory_order_relaxed);
    do {
      task = round_of(seen) < round_of(of) ? begin : tasks_of(seen);
      if (round_of(seen) > round_of(of) || task >= end) return false;
    } while (!claim.compare_exchange_weak(seen, packed(round_of(of), task + 1), std::memory_order_relaxed));
    return true;
  }

  // Returns how many tasks of the round were left for this thread.
  std::size_t work_off(std::uint64_t of, std::size_t self) {
    std::size_t done = 0;
    for (std::size_t k = 0, i = 0; k < participants.size(); ++k) {
      for (; claimed(of, (self + k) % participants.size(), i); ++done) {
        if (failed.load(std::memory_order_relaxed)) continue;
        try {
          (*body.load(std::memory_order_relaxed))(i);
        } catch (...) {
          const std::lock_guard lock(mutex);
          if (!failure) failure = std::current_exception();
          failed = true;
        }
        if (self == 0 && done == 0 && sleepers.fetch_add(0) > 0) round.notify_all();
      }
    }
    return done;
  }

  // Looks until it is so, or patience ends. Returns whether it is.
  template <class Condition>
  bool look(std::size_t self, const Condition& condition) {
    if (condition()) return true;
    if (!patient) return false;
    const auto end = std::chrono::steady_clock::now() + patience;
    do {
      for (int i = 0; i < looks_per_glance; ++i) {
        prefetch(self);
        if (condition()) return true;
      }
    } while (std::chrono::steady_clock::now() < end);
    return false;
  }

  void worker(std::size_t self) {
    for (std::uint64_t seen = 0;;) {
      std::uint64_t now = 0;
      const auto called = [&] { return round_of(now = call.load(std::memory_order_acquire)) != seen; };
      if (!look(self, called)) {
        ++sleepers;
        while (!called()) round.wait(static_cast<std::uint32_t>(seen));
        --sleepers;
      }
      if (stop) return;
      seen = round_of(now);
      const std::size_t done = work_off(now, self);
      if (done == 0) continue;
      participants[self].ended.exchange(packed(seen, done));  // as end_round() does: one of the two sees the other
      if (asleep) {
        ++woken;
        woken.notify_all();
      }
    }
  }

  std::uint64_t begin_round(std::size_t count) {
    const std::uint64_t now = packed(round_of(call.load(std::memory_order_relaxed)) + 1, count);
    call.store(now, std::memory_order_release);
    round.store(static_cast<std::uint32_t>(round_of(now)), std::memory_order_release);
    if (sleepers.load(std::memory_order_relaxed) > 0) round.notify_all();
    return now;
  }

  // Of a round of which this thread has run so many tasks.
  void end_round(std::uint64_t of, std::size_t done) {
    const auto all_ended = [&] {
      std::size_t sum = done;
      for (std::size_t i = 1; i < participants.size() && sum < tasks_of(of); ++i) {
        const std::uint64_t ended = participants[i].ended;
        if (round_of(ended) == round_of(of)) sum += tasks_of(ended);
      }
      return sum == tasks_of(of);
    };
    if (look(0, all_ended)) return;
    asleep.exchange(true);  // emulators let loads pass stores, but not exchanges
    for (std::uint32_t before = woken; !all_ended(); before = woken) woken.wait(before);
    asleep = false;
  }

  void run_round(std::size_t count, const std::function<void(std::size_t)>& task) {
    body.store(&task, std::memory_order_relaxed);
    const std::uint64_t now = begin_round(count);
    end_round(now, work_off(now, 0));
  }

  void shut_down() {
    stop = true;
    begin_round(0);
    ++sleepers;  // whoever is about to sleep sees the call now
    round.notify_all();
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
  state_->participants = std::vector<state::participant>(static_cast<std::size_t>(threads));
  try {
    for (int i = 1; i < threads; ++i)
      state_->workers.emplace_back([s = state_.get(), i] { s->worker(static_cast<std::size_t>(i)); });
  } catch (...) {
    state_->shut_down();
    throw;
  }
}

thread_pool::~thread_pool() { state_->shut_down(); }

int thread_pool::concurrency() const noexcept { return static_cast<int>(state_->workers.size()) + 1; }

void thread_pool::expect(std::span<const expected_read> reads) noexcept {
  for (std::size_t i = 0; i < most_expected; ++i) {
    const expected_read read = i < reads.size() ? reads[i] : expected_read{};
    state::expectation& e = state_->expected[i];
    e.begin.store(read.bytes.data(), std::memory_order_relaxed);
    e.size_and_divided.store(2 * read.bytes.size() + (read.divided ? 1 : 0), std::memory_order_relaxed);
  }
  state_->version.store(state_->version.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

void thread_pool::run(std::size_t count, const std::function<void(std::size_t)>& task) {
  state& s = *state_;
  if (count <= 1 || s.workers.empty()) {
    for (std::size_t i = 0; i < count; ++i) task(i);
  } else if (count > most_tasks) {
    const std::size_t half = count / 2;
    run(half, task);
    run(count - half, [&](std::size_t i) { task(half + i); });
  } else {
    s.run_round(count, task);
    if (!s.failed.load(std::memory_order_relaxed)) return;
    s.failed = false;
    std::rethrow_exception(std::exchange(s.failure, nullptr));
  }
}

}  // namespace bq
