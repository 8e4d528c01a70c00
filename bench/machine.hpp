// What this machine can do at most, measured on it in the same run as everything else: the yardsticks of the report.
// A peak is the best of many short trials, so that other work on the machine lowers it as little as possible.
#pragma once
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

namespace bq_bench {

struct machine {
  std::string cpu;
  int threads = 0;                     // that run at the same time
  std::uint64_t last_level_cache = 0;  // bytes
  std::string_view int8_instruction, f32_instruction;
  double int8_gops = 0, f32_gops = 0;  // of one thread, 1e9 operations per second; a multiply-add counts as two
  std::map<int, double> read_gbps;     // from DRAM, 1e9 bytes per second, by number of threads
};

// Measures; reads DRAM with one thread, with all, and with each of `thread_counts`. `quick` takes a tenth of the time.
machine measure_machine(std::span<const int> thread_counts, bool quick);

// Bytes of the largest cache that the system knows of; 32 MiB where it tells none.
std::uint64_t last_level_cache();

}  // namespace bq_bench
