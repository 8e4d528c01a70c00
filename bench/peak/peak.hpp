// Loops that do nothing but one unit's fastest instruction, on independent registers: what a core could reach at most.
// Each processor family has a file of its own (x86.cpp, arm.cpp, other.cpp); CMake picks one.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>

namespace bq_bench {

struct peak_loop {
  std::string_view instruction;               // with the width of its registers in bits
  double operations;                          // in one turn; a multiply-add counts as two
  bool (*supported)() noexcept;               // by this machine
  void (*run)(std::uint64_t turns) noexcept;  // on the calling thread; turns > 0
};

// Fastest first; the last one runs everywhere.
std::span<const peak_loop> int8_loops() noexcept;  // 8-bit products, summed in 32 bits
std::span<const peak_loop> f32_loops() noexcept;   // fused multiply-adds

}  // namespace bq_bench
