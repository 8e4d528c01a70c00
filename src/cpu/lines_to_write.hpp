// Between threads that do not share a cache, to write a line that another thread has read takes as long as to fetch it,
// and a processor does few of these at a time, in order. So lines that are about to be written are asked for
// beforehand, all at once.
#pragma once
#include <algorithm>
#include <cstddef>

namespace bq::cpu {

// `bytes` of them from p on, as far as they stay in the first-level cache until then.
inline void ask_to_write(const void* p, std::size_t bytes) noexcept {
  constexpr std::size_t most = 4096, line = 64;
  const auto* at = static_cast<const char*>(p);
  for (std::size_t i = 0; i < std::min(bytes, most); i += line) {
#ifdef __x86_64__  // where the compiler's own asks to read, unless it is told that the processor knows better
    asm volatile("prefetchw %0" : : "m"(at[i]));
#else
    __builtin_prefetch(at + i, 1);
#endif
  }
}

}  // namespace bq::cpu
