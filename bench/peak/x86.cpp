// x86-64: twelve independent accumulators hide the latency of any multiply-add. The loops are assembly, so that no
// compiler moves an accumulator to memory, and so that this unit needs no flags.
#include "portable.hpp"

namespace bq_bench {
namespace {

// Ordinary numbers in both types; as floats, 1.0.
alignas(64) constexpr std::uint32_t operands[16] = {
    0x3f800000, 0x3f800000, 0x3f800000, 0x3f800000, 0x3f800000, 0x3f800000, 0x3f800000, 0x3f800000,
    0x3f800000, 0x3f800000, 0x3f800000, 0x3f800000, 0x3f800000, 0x3f800000, 0x3f800000, 0x3f800000};
constexpr double chains = 12;

// \r in STEP is the accumulator's number; operands are in registers 14 and 15, register 13 is free.
#define BQ_BENCH_LOOP(LOAD, REGISTER, STEP)                                                                      \
  asm volatile(LOAD " (%1), %%" REGISTER "14\n\t" LOAD " (%1), %%" REGISTER                                      \
                    "15\n\t"                                                                                     \
                    ".irp r,0,1,2,3,4,5,6,7,8,9,10,11\n\tvpxor %%xmm\\r, %%xmm\\r, %%xmm\\r\n\t.endr\n\t"        \
                    ".p2align 5\n1:\n\t"                                                                         \
                    ".irp r,0,1,2,3,4,5,6,7,8,9,10,11\n\t" STEP                                                  \
                    "\n\t.endr\n\t"                                                                              \
                    "dec %0\n\tjnz 1b\n\tvzeroupper"                                                             \
               : "+r"(turns)                                                                                     \
               : "r"(operands)                                                                                   \
               : "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", \
                 "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15")

void dot_512(std::uint64_t turns) noexcept { BQ_BENCH_LOOP("vmovdqu64", "zmm", "vpdpbusd %%zmm15, %%zmm14, %%zmm\\r"); }
void dot_256(std::uint64_t turns) noexcept {
  BQ_BENCH_LOOP("vmovdqu", "ymm", "%{vex%} vpdpbusd %%ymm15, %%ymm14, %%ymm\\r");
}
void maddubs_256(std::uint64_t turns) noexcept {
  BQ_BENCH_LOOP("vmovdqu", "ymm",
                "vpmaddubsw %%ymm15, %%ymm14, %%ymm13\n\t"
                "vpmaddwd %%ymm15, %%ymm13, %%ymm13\n\t"
                "vpaddd %%ymm13, %%ymm\\r, %%ymm\\r");
}
void fma_512(std::uint64_t turns) noexcept {
  BQ_BENCH_LOOP("vmovdqu64", "zmm", "vfmadd231ps %%zmm15, %%zmm14, %%zmm\\r");
}
void fma_256(std::uint64_t turns) noexcept {
  BQ_BENCH_LOOP("vmovdqu", "ymm", "vfmadd231ps %%ymm15, %%ymm14, %%ymm\\r");
}

#undef BQ_BENCH_LOOP

bool has_avx512vnni() noexcept { return __builtin_cpu_supports("avx512vnni"); }
bool has_avx512f() noexcept { return __builtin_cpu_supports("avx512f"); }
bool has_avx2() noexcept { return __builtin_cpu_supports("avx2"); }
bool has_fma() noexcept { return __builtin_cpu_supports("fma"); }
// CPUID leaf 7.1, EAX bit 4: clang 14 has no name for it.
bool has_avxvnni() noexcept {
  std::uint32_t a = 7, b = 0, c = 1, d = 0;
  if (!has_avx2()) return false;
  asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  return (a >> 4 & 1) != 0;
}

const peak_loop int8[] = {{"vpdpbusd 512", chains * 128, has_avx512vnni, dot_512},
                          {"vpdpbusd 256", chains * 64, has_avxvnni, dot_256},
                          {"vpmaddubsw 256", chains * 64, has_avx2, maddubs_256},
                          portable_int8};
const peak_loop f32[] = {{"vfmadd231ps 512", chains * 32, has_avx512f, fma_512},
                         {"vfmadd231ps 256", chains * 16, has_fma, fma_256},
                         portable_f32};

}  // namespace

std::span<const peak_loop> int8_loops() noexcept { return int8; }
std::span<const peak_loop> f32_loops() noexcept { return f32; }

}  // namespace bq_bench
