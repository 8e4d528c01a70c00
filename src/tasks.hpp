// Independent tasks, run by an executor or, where there is none or a single task, by the calling thread. Allocates
// nothing.
#pragma once
#include <cstdint>
#include <functional>

#include "blockquant/parallel.hpp"

namespace bq {

template <class Task>
void for_each_task(executor* threads, std::int64_t count, const Task& task) {
  if (threads && count > 1) return threads->run(static_cast<std::size_t>(count), std::cref(task));
  for (std::int64_t i = 0; i < count; ++i) task(static_cast<std::size_t>(i));
}

}  // namespace bq
