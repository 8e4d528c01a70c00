// Independent tasks, run by an executor or, where there is none or a single task, by the calling thread. Allocates
// nothing.
#pragma once
#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <functional>

#include "blockquant/parallel.hpp"

namespace bq {

template <class Task>
void for_each_task(executor* threads, std::int64_t count, const Task& task) {
  if (threads && count > 1) return threads->run(static_cast<std::size_t>(count), std::cref(task));
  for (std::int64_t i = 0; i < count; ++i) task(static_cast<std::size_t>(i));
}

// The same for tasks that are best run by one thread one after the other, since they read what lies one after the
// other: each thread walks through a part of them, and helps with the other parts when it has come to its end.
template <class Task>
void for_each_task_in_walks(executor* threads, std::int64_t count, const Task& task) {
  struct alignas(64) walk {
    std::atomic<std::int64_t> next{0};
    std::int64_t end = 0;
  };
  constexpr std::int64_t most = 64;
  std::array<walk, most> walks;
  const std::int64_t n = threads ? std::min<std::int64_t>({threads->concurrency(), most, count}) : 1;
  for (std::int64_t w = 0; w < n; ++w) {
    walk& of = walks[static_cast<std::size_t>(w)];
    of.next.store(count / n * w + std::min(w, count % n), std::memory_order_relaxed);
    of.end = count / n * (w + 1) + std::min(w + 1, count % n);
  }
  for_each_task(threads, n, [&](std::size_t first) {
    for (std::int64_t k = 0; k < n; ++k) {
      walk& of = walks[(first + static_cast<std::size_t>(k)) % static_cast<std::size_t>(n)];
      for (std::int64_t i; (i = of.next.fetch_add(1, std::memory_order_relaxed)) < of.end;)
        task(static_cast<std::size_t>(i));
    }
  });
}

}  // namespace bq
