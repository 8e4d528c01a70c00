// Who runs the library's loops. Entry points take an `executor`: one of the caller's own, a `thread_pool`, or none at
// all (the calling thread does the work). Results never depend on it.
#pragma once
#include <cstddef>
#include <functional>
#include <memory>
#include <span>

namespace bq {

// Memory that loops are going to read: by each thread all of it, or divided among them as run() divides its tasks.
struct expected_read {
  std::span<const std::byte> bytes;
  bool divided = false;
};

class executor {
 public:
  virtual ~executor() = default;
  // Threads that work at the same time, the caller included; at least 1.
  virtual int concurrency() const noexcept = 0;
  // Calls task(i) once for every i in [0, count), in any order, from any thread, and returns when all have ended. The
  // first exception of a task is rethrown here; tasks not yet begun are then skipped. Not re-entrant. Consecutive tasks
  // often read what lies one after the other: a thread had best walk through a range of them.
  virtual void run(std::size_t count, const std::function<void(std::size_t)>& task) = 0;
  // A hint, between two calls of run(): what the loops behind the next one will read, in this order. Threads that wait
  // may ask the memory for it meanwhile; nothing is read, so it may be gone by then.
  virtual void expect(std::span<const expected_read> reads) noexcept { static_cast<void>(reads); }
};

// A fixed set of threads. Each has a part of the tasks, which it takes one by one, and then helps with the others', so
// that a worker that the system deschedules holds up nobody. Threads that wait look for more work for 0.1 ms before
// they sleep, unless there are more of them than processors. run() may be called by one thread at a time.
class thread_pool final : public executor {
 public:
  // `threads` counts the calling thread; 0 means one per hardware thread. Throws errc::invalid_argument above 1024,
  // std::system_error when threads cannot be started.
  explicit thread_pool(int threads = 0);
  ~thread_pool() override;
  thread_pool(const thread_pool&) = delete;
  thread_pool& operator=(const thread_pool&) = delete;

  int concurrency() const noexcept override;
  void run(std::size_t count, const std::function<void(std::size_t)>& task) override;
  void expect(std::span<const expected_read> reads) noexcept override;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace bq
