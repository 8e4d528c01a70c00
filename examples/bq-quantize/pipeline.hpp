// A long list of pieces, worked on by all threads and finished in order: produce(workspace, i) runs anywhere,
// consume(workspace, i) strictly for i = 0, 1, 2, ... one at a time. There are never more workspaces than threads,
// which bounds memory, and the first piece that fails is the one whose exception comes out, whatever the timing.
#pragma once
#include <blockquant/parallel.hpp>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <vector>

namespace bq_quantize {

template <class Workspace, class Produce, class Consume>
void run_in_order(bq::executor& threads, std::size_t count, const Produce& produce, const Consume& consume) {
  std::mutex mutex;
  std::condition_variable turn;
  std::size_t next = 0;
  bool failed = false;
  std::vector<std::unique_ptr<Workspace>> idle;

  const auto take_workspace = [&] {
    const std::lock_guard lock(mutex);
    if (idle.empty()) return std::make_unique<Workspace>();
    auto w = std::move(idle.back());
    idle.pop_back();
    return w;
  };

  threads.run(count, [&](std::size_t i) {
    auto workspace = take_workspace();
    std::exception_ptr failure;
    try {
      produce(*workspace, i);
    } catch (...) {
      failure = std::current_exception();
    }
    std::unique_lock lock(mutex);
    turn.wait(lock, [&] { return next == i || failed; });
    if (failed) return;
    lock.unlock();
    try {
      if (failure) std::rethrow_exception(failure);
      consume(*workspace, i);
    } catch (...) {
      lock.lock();
      failed = true;
      turn.notify_all();
      throw;
    }
    lock.lock();
    ++next;
    idle.push_back(std::move(workspace));
    turn.notify_all();
  });
}

}  // namespace bq_quantize
