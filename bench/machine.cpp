#include "machine.hpp"

#include <algorithm>
#include <atomic>
#include <blockquant/parallel.hpp>
#include <charconv>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>
#include <vector>

#include "peak/peak.hpp"

namespace bq_bench {
namespace {

using clock = std::chrono::steady_clock;

template <class Call>
double seconds_of(const Call& call) {
  const auto start = clock::now();
  call();
  return std::chrono::duration<double>(clock::now() - start).count();
}

// The value of the first line "KEY : VALUE" of a file such as /proc/cpuinfo; empty when there is none.
std::string value_in(const char* path, std::string_view key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const auto colon = line.find(':');
    if (!line.starts_with(key) || colon == line.npos) continue;
    const auto first = line.find_first_not_of(" \t", colon + 1);
    return first == line.npos ? std::string() : line.substr(first);
  }
  return {};
}

// Several processors hide their name behind a hypervisor: family and model then tell more than it does.
std::string cpu_name() {
  constexpr const char* file = "/proc/cpuinfo";
  const std::string name = value_in(file, "model name"), family = value_in(file, "cpu family");
  if (!name.empty() && !family.empty()) {
    return name + " (family " + family + ", model " + value_in(file, "model\t") + ")";
  }
  const std::string part = value_in(file, "CPU part");
  if (!part.empty()) return "CPU part " + part;
  return name.empty() ? "unknown CPU" : name;
}

const peak_loop& fastest(std::span<const peak_loop> loops) {
  return *std::find_if(loops.begin(), loops.end(), [](const peak_loop& l) { return l.supported(); });
}

// Trials of about a millisecond each, on the calling thread.
double gops_of(const peak_loop& loop, double total_seconds) {
  std::uint64_t turns = 1;
  double seconds = seconds_of([&] { loop.run(turns); });
  while (seconds < 1e-3) seconds = seconds_of([&] { loop.run(turns *= 2); });
  double best = 0;
  for (double spent = 0; spent < total_seconds; spent += seconds) {
    seconds = seconds_of([&] { loop.run(turns); });
    best = std::max(best, loop.operations * static_cast<double>(turns) / seconds * 1e-9);
  }
  return best;
}

constexpr std::size_t chunk = 1u << 20;  // bytes that a thread reads at a time

// The sum of a chunk's words: two streams of lines, and additions that wait for nothing but the memory. A vector type,
// because compilers fail to make vectors of the loop over its lanes.
std::uint64_t sum_of(const std::byte* p) noexcept {
  using words = std::uint64_t __attribute__((vector_size(16)));
  constexpr std::size_t streams = 2, parts = 4, line = parts * sizeof(words);
  words sums[streams][parts] = {};
  for (std::size_t i = 0; i < chunk / streams; i += line) {
    for (std::size_t s = 0; s < streams; ++s) {
      for (std::size_t k = 0; k < parts; ++k) {
        words w;
        std::memcpy(&w, p + s * (chunk / streams) + i + k * sizeof w, sizeof w);
        sums[s][k] += w;
      }
    }
  }
  std::uint64_t sum = 0;
  for (const auto& stream : sums) {
    for (const words w : stream) sum += w[0] + w[1];
  }
  return sum;
}

double read_gbps(std::span<const std::byte> memory, int threads, int passes) {
  bq::thread_pool pool(threads);
  std::atomic<std::uint64_t> sink{0};
  double best = 0;
  for (int pass = 0; pass < passes; ++pass) {
    const double seconds = seconds_of([&] {
      pool.run(memory.size() / chunk,
               [&](std::size_t i) { sink.fetch_add(sum_of(memory.data() + i * chunk), std::memory_order_relaxed); });
    });
    best = std::max(best, static_cast<double>(memory.size()) / seconds * 1e-9);
  }
  return best;
}

}  // namespace

std::uint64_t last_level_cache() {
  std::uint64_t largest = 0;
  std::error_code failure;
  for (const auto& index : std::filesystem::directory_iterator("/sys/devices/system/cpu/cpu0/cache", failure)) {
    std::ifstream file(index.path() / "size");
    std::string text;
    std::uint64_t size = 0;
    if (!std::getline(file, text)) continue;
    const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), size);
    if (status != std::errc()) continue;
    if (*end == 'K') size <<= 10;
    if (*end == 'M') size <<= 20;
    largest = std::max(largest, size);
  }
  return largest ? largest : 32u << 20;
}

machine measure_machine(std::span<const int> thread_counts, bool quick) {
  machine m;
  m.cpu = cpu_name();
  m.threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  m.last_level_cache = last_level_cache();

  const double seconds = quick ? 0.02 : 0.2;
  const peak_loop &int8 = fastest(int8_loops()), &f32 = fastest(f32_loops());
  m.int8_instruction = int8.instruction;
  m.f32_instruction = f32.instruction;
  m.int8_gops = gops_of(int8, seconds);
  m.f32_gops = gops_of(f32, seconds);

  const std::vector<std::byte> memory(std::max<std::uint64_t>(4 * m.last_level_cache, 128u << 20) / chunk * chunk,
                                      std::byte{1});
  std::set<int> counts(thread_counts.begin(), thread_counts.end());
  counts.insert({1, m.threads});
  for (const int n : counts) m.read_gbps[n] = read_gbps(memory, n, quick ? 3 : 20);
  return m;
}

}  // namespace bq_bench
