// The list of instruction sets, best first, and the choice among them: by name, by $BQ_ISA, else the first that the
// machine supports. This unit is built for the baseline and alone asks the CPU what it can do.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>

#include "blockquant/error.hpp"
#include "blockquant/matmul.hpp"
#include "kernels.hpp"

namespace bq {

namespace cpu {

namespace {

bool always() noexcept { return true; }

#ifdef BLOCKQUANT_X86
bool has_avx2() noexcept {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}
bool has_avx512() noexcept {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512vnni");
}
#endif

constexpr isa all[] = {
#ifdef BLOCKQUANT_X86
    {"avx512", has_avx512, avx512::kernels},
    {"avx2", has_avx2, avx2::kernels},
#endif
    {"scalar", always, scalar::kernels},
};

}  // namespace

const isa& choose(std::string_view name) {
  const char* forced = std::getenv("BQ_ISA");
  const bool from_environment = name.empty() && forced && *forced;
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

std::span<const std::string_view> isas() {
  static const auto names = [] {
    std::array<std::string_view, std::size(cpu::all)> out;
    std::size_t n = 0;
    for (const cpu::isa& i : cpu::all) {
      if (i.supported()) out[n++] = i.name;
    }
    return std::pair(out, n);
  }();
  return std::span(names.first).first(names.second);
}

std::string_view chosen_isa(std::string_view name) { return cpu::choose(name).name; }

}  // namespace bq
