// thread_pool: every task runs once, exceptions come back, and the pool can be used again after one.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <blockquant/error.hpp>
#include <blockquant/parallel.hpp>
#include <chrono>
#include <map>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

TEST_CASE("every task runs exactly once, run after run") {
  for (const int threads : {1, 2, 3, 7}) {
    bq::thread_pool pool(threads);
    CHECK(pool.concurrency() == threads);
    for (const std::size_t count : {0u, 1u, 2u, 13u, 1000u}) {
      for (int again = 0; again < 20; ++again) {
        std::vector<std::atomic<int>> hits(count);
        pool.run(count, [&](std::size_t i) { ++hits[i]; });
        bool once = true;
        for (const auto& h : hits) once = once && h == 1;
        CHECK(once);
      }
    }
  }
}

TEST_CASE("more tasks than a round has room for run exactly once") {
  bq::thread_pool pool(3);
  std::vector<std::atomic<unsigned char>> hits((std::size_t{5} << 19) + 3);
  pool.run(hits.size(), [&](std::size_t i) { ++hits[i]; });
  CHECK(std::all_of(hits.begin(), hits.end(), [](const auto& h) { return h == 1; }));
}

TEST_CASE("a thread takes tasks one after the other, of its own part first") {
  constexpr std::size_t count = 1000, threads = 4;
  bq::thread_pool pool(threads);
  std::map<std::thread::id, std::vector<std::size_t>> taken;
  std::mutex mutex;
  for (int again = 0; again < 20; ++again) {
    taken.clear();
    pool.run(count, [&](std::size_t i) {
      const std::lock_guard lock(mutex);
      taken[std::this_thread::get_id()].push_back(i);
    });
    for (const auto& [thread, tasks] : taken) {
      std::size_t turns = 0;
      for (std::size_t k = 1; k < tasks.size(); ++k) turns += tasks[k] < tasks[k - 1];
      CHECK(turns <= 1);  // from the last part to the first
    }
  }
}

TEST_CASE("loops follow each other closely, with and without expectations of what they will read") {
  bq::thread_pool pool(3);
  const std::vector<std::byte> memory(100000);
  std::vector<std::atomic<int>> hits(7);
  for (int again = 1; again <= 20000; ++again) {
    if (again % 3 == 0) pool.expect(std::array{bq::expected_read{memory, true}, bq::expected_read{memory}});
    if (again % 5 == 0) pool.expect({});
    if (again % 7 == 0) pool.expect(std::vector<bq::expected_read>(9, {memory}));
    pool.run(hits.size(), [&](std::size_t i) { ++hits[i]; });
    if (std::any_of(hits.begin(), hits.end(), [&](const auto& h) { return h != again; })) {
      FAIL("a task did not run once in loop ", again);
    }
  }
}

TEST_CASE("workers that have gone to sleep come back, and run() waits for those that take long") {
  using std::chrono::milliseconds;
  bq::thread_pool pool(3);
  for (int again = 0; again < 10; ++again) {
    std::this_thread::sleep_for(milliseconds(2));
    std::atomic<int> ended = 0;
    pool.run(3, [&](std::size_t) {
      std::this_thread::sleep_for(milliseconds(1));
      ++ended;
    });
    CHECK(ended == 3);
  }
}

TEST_CASE("the first exception is rethrown, later tasks are skipped, and the pool stays usable") {
  bq::thread_pool pool(3);
  bool skipped = false;  // a thread that is descheduled while it throws lets the others do everything
  for (int again = 0; again < 50; ++again) {
    std::atomic<int> begun = 0;
    CHECK_THROWS_AS(pool.run(100000,
                             [&](std::size_t i) {
                               ++begun;
                               if (i == 10) throw std::runtime_error("task 10");
                             }),
                    std::runtime_error);
    skipped = skipped || begun < 100000;
  }
  CHECK(skipped);
  std::atomic<int> sum = 0;
  pool.run(10, [&](std::size_t i) { sum += static_cast<int>(i); });
  CHECK(sum == 45);
}

TEST_CASE("an impossible number of threads is an error") {
  CHECK_THROWS_AS(bq::thread_pool(-1), bq::error);
  CHECK_THROWS_AS(bq::thread_pool(1025), bq::error);
  CHECK(bq::thread_pool(0).concurrency() >= 1);
}
