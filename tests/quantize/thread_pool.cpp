// thread_pool: every task runs once, exceptions come back, and the pool can be used again after one.
#include <doctest/doctest.h>

#include <atomic>
#include <blockquant/error.hpp>
#include <blockquant/parallel.hpp>
#include <chrono>
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
