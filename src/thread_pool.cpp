// thread_pool: workers sleep on one condition variable and take task numbers from one atomic counter.
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "blockquant/error.hpp"
#include "blockquant/parallel.hpp"

namespace bq {

struct thread_pool::state {
  std::mutex mutex;
  std::condition_variable work, done;
  std::uint64_t round = 0;  // counts run() calls; a worker joins each round once
  std::size_t active = 0;   // workers inside the current round
  bool stop = false;
  const std::function<void(std::size_t)>* task = nullptr;
  std::size_t count = 0;
  std::atomic<std::size_t> next{0};
  std::exception_ptr failure;
  std::vector<std::thread> workers;

  void work_off(const std::function<void(std::size_t)>& round_task) {
    for (std::size_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < count;) {
      try {
        round_task(i);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!failure) failure = std::current_exception();
        next.store(count, std::memory_order_relaxed);
      }
    }
  }

  void worker() {
    std::unique_lock lock(mutex);
    for (std::uint64_t seen = 0;;) {
      work.wait(lock, [&] { return stop || round != seen; });
      if (stop) return;
      seen = round;
      if (!task) continue;  // this round ended before the worker woke
      ++active;
      const auto& round_task = *task;  // outlives the round; the pointer does not
      lock.unlock();
      work_off(round_task);
      lock.lock();
      if (--active == 0) done.notify_one();
    }
  }

  void shut_down() {
    {
      const std::lock_guard lock(mutex);
      stop = true;
    }
    work.notify_all();
    for (std::thread& t : workers) t.join();
  }
};

thread_pool::thread_pool(int threads) : state_(std::make_unique<state>()) {
  if (threads == 0) threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  if (threads < 0 || threads > 1024) {
    throw error({.code = errc::invalid_argument,
                 .message = "no such number of threads",
                 .expected = "0 (one per hardware thread) to 1024",
                 .found = std::to_string(threads)});
  }
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
  {
    const std::lock_guard lock(s.mutex);
    s.task = &task;
    s.count = count;
    s.next.store(0, std::memory_order_relaxed);
    s.failure = nullptr;
    ++s.round;
  }
  if (count > 1) s.work.notify_all();
  s.work_off(task);
  std::unique_lock lock(s.mutex);
  s.task = nullptr;
  s.done.wait(lock, [&] { return s.active == 0; });
  if (s.failure) std::rethrow_exception(std::exchange(s.failure, nullptr));
}

}  // namespace bq
