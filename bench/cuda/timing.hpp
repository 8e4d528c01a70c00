// Device memory, and the time of work on a stream: captured into a graph, replayed, between two events.
#pragma once
#include <cuda_runtime_api.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>

namespace bench {

inline void check(cudaError_t result) {
  if (result != cudaSuccess) throw std::runtime_error(cudaGetErrorString(result));
}

class device_memory {
 public:
  explicit device_memory(std::size_t bytes) {
    void* p = nullptr;
    check(cudaMalloc(&p, bytes));
    memory_.reset(p);
  }
  device_memory(const void* from, std::size_t bytes) : device_memory(bytes) {
    check(cudaMemcpy(get(), from, bytes, cudaMemcpyHostToDevice));
  }
  void* get() const { return memory_.get(); }
  void fetch(void* to, std::size_t bytes) const { check(cudaMemcpy(to, get(), bytes, cudaMemcpyDeviceToHost)); }

 private:
  struct free_memory {
    void operator()(void* p) const { cudaFree(p); }
  };
  std::unique_ptr<void, free_memory> memory_;
};

struct timing {
  double median = 0, least = 0, most = 0;  // microseconds of one call
};

struct queue {
  cudaStream_t stream = nullptr;

  queue() { check(cudaStreamCreate(&stream)); }
  ~queue() { cudaStreamDestroy(stream); }
  queue(const queue&) = delete;
  queue& operator=(const queue&) = delete;
  void wait() const { check(cudaStreamSynchronize(stream)); }

  // call(i) with i = 0 .. copies - 1 in turn, 60 times or more in a graph; fewer times where a call is long.
  template <class Call>
  timing time(std::size_t copies, Call call) {
    call(std::size_t{0});
    wait();
    const auto start = std::chrono::steady_clock::now();
    call(std::size_t{0});
    wait();
    const bool long_call = std::chrono::steady_clock::now() - start > std::chrono::microseconds(400);
    const std::size_t calls = ((long_call ? 12 : 60) + copies - 1) / copies * copies;
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t replay = nullptr;
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    for (std::size_t i = 0; i < calls; ++i) call(i % copies);
    check(cudaStreamEndCapture(stream, &graph));
    check(cudaGraphInstantiate(&replay, graph, 0));
    cudaEvent_t begin = nullptr, end = nullptr;
    check(cudaEventCreate(&begin));
    check(cudaEventCreate(&end));
    for (int i = 0; i < 2; ++i) check(cudaGraphLaunch(replay, stream));
    std::array<double, 11> times{};
    for (double& t : times) {
      float milliseconds = 0;
      check(cudaEventRecord(begin, stream));
      check(cudaGraphLaunch(replay, stream));
      check(cudaEventRecord(end, stream));
      check(cudaEventSynchronize(end));
      check(cudaEventElapsedTime(&milliseconds, begin, end));
      t = 1e3 * static_cast<double>(milliseconds) / static_cast<double>(calls);
    }
    cudaEventDestroy(begin);
    cudaEventDestroy(end);
    cudaGraphExecDestroy(replay);
    cudaGraphDestroy(graph);
    std::sort(times.begin(), times.end());
    return {times[times.size() / 2], times.front(), times.back()};
  }
};

}  // namespace bench
