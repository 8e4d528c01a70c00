// The list of instruction sets, best first, and the choice among them: by name, by $BQ_ISA, else the first that the
// machine supports. This unit is built for the baseline and alone asks the CPU what it can do.
#include <algorithm>
#include <cstdlib>
#include <string>

#ifdef BLOCKQUANT_X86
#include <cpuid.h>
#endif

#include "blockquant/error.hpp"
#include "blockquant/matmul.hpp"
#include "kernels.hpp"

#ifdef BLOCKQUANT_AARCH64
#include <sys/auxv.h>
#endif

namespace bq {

namespace cpu {

namespace {

bool always() noexcept { return true; }

#ifdef BLOCKQUANT_X86
// clang 14 cannot be asked for F16C by name. Asked once: in a virtual machine the answer costs tens of microseconds.
bool has_f16c() noexcept {
  static const bool has = [] {
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
  }();
  return has;
}
bool has_avx2() noexcept { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c(); }
bool has_avx512() noexcept {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512vnni");
}
#endif

#ifdef BLOCKQUANT_AARCH64
bool has_neon_dotprod() noexcept { return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0; }
#endif

constexpr isa all[] = {
#ifdef BLOCKQUANT_X86
    {"avx512", has_avx512, avx512::kernels, avx512::floats, avx512::codecs, avx512::ops},
    {"avx2", has_avx2, avx2::kernels, avx2::floats, avx2::codecs, avx2::ops},
#endif
#ifdef BLOCKQUANT_AARCH64
    {"neon", has_neon_dotprod, neon::kernels, neon::floats, neon::codecs, neon::ops},
#endif
    {"scalar", always, scalar::kernels, scalar::floats, scalar::codecs, scalar::ops},
};

}  // namespace

const isa& choose(std::string_view name) {
  const char* forced = name.empty() ? std::getenv("BQ_ISA") : nullptr;  // NOLINT(concurrency-mt-unsafe): read only
  const bool from_environment = forced && *forced;
  if (from_environment) name = forced;
  const auto it = std::find_if(std::begin(all), std::end(all),
                               [&](const isa& i) { return name.empty() ? i.supported() : i.name == name; });
  if (it == std::end(all) || !it->supported()) {
    std::string have;
    for (const auto n : isas()) have += (have.empty() ? "" : ", ") + std::string(n);
    throw error(
        {.code = errc::invalid_argument,
         .message = it == std::end(all) ? "no such instruction set" : "this machine has no such instruction set",
         .subject = from_environment ? "BQ_ISA" : "isa",
         .expected = have,
         .found = std::string(name)});
  }
  return *it;
}

}  // namespace cpu

std::vector<std::string_view> isas() {
  std::vector<std::string_view> names;
  for (const cpu::isa& i : cpu::all) {
    if (i.supported()) names.push_back(i.name);
  }
  return names;
}

std::string_view chosen_isa(std::string_view name) { return cpu::choose(name).name; }

}  // namespace bq
