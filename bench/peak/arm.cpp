// AArch64: twenty-four independent accumulators hide the latency of any multiply-add on cores with up to four units.
#include <sys/auxv.h>

#include "portable.hpp"

namespace bq_bench {
namespace {

constexpr double chains = 24;

// \r in STEP is the accumulator's number; v30 and v31 hold the operands (1.0 in every lane).
#define BQ_BENCH_LOOP(STEP)                                                                                         \
  asm volatile(                                                                                                     \
      ".arch armv8.2-a+dotprod\n\tfmov v30.4s, #1.0\n\tfmov v31.4s, #1.0\n\t"                                       \
      ".irp r,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23\n\t"                                    \
      "movi v\\r\\().4s, #0\n\t.endr\n1:\n\t"                                                                       \
      ".irp r,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23\n\t" STEP                               \
      "\n\t.endr\n\t"                                                                                               \
      "subs %0, %0, #1\n\tb.ne 1b"                                                                                  \
      : "+r"(turns)                                                                                                 \
      :                                                                                                             \
      : "cc", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15", \
        "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v30", "v31")

void dot(std::uint64_t turns) noexcept { BQ_BENCH_LOOP("sdot v\\r\\().4s, v30.16b, v31.16b"); }
void fma(std::uint64_t turns) noexcept { BQ_BENCH_LOOP("fmla v\\r\\().4s, v30.4s, v31.4s"); }

#undef BQ_BENCH_LOOP

bool has_dot() noexcept { return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0; }
bool always() noexcept { return true; }

const peak_loop int8[] = {{"sdot 128", chains * 32, has_dot, dot}, portable_int8};
const peak_loop f32[] = {{"fmla 128", chains * 8, always, fma}};

}  // namespace

std::span<const peak_loop> int8_loops() noexcept { return int8; }
std::span<const peak_loop> f32_loops() noexcept { return f32; }

}  // namespace bq_bench
