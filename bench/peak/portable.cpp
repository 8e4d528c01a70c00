#include "portable.hpp"

namespace bq_bench {
namespace {

constexpr int length = 4096, lanes = 32;

bool always() noexcept { return true; }

// Makes the compiler believe that memory has changed, so that no turn can be left out.
void touch(const void* p) noexcept { asm volatile("" : : "r"(p) : "memory"); }

void int8_products(std::uint64_t turns) noexcept {
  std::int8_t a[length], b[length];
  for (int i = 0; i < length; ++i) a[i] = static_cast<std::int8_t>(i * 37), b[i] = static_cast<std::int8_t>(i * 101);
  for (; turns > 0; --turns) {
    touch(a), touch(b);
    std::int32_t sum = 0;
    for (int i = 0; i < length; ++i) sum += a[i] * b[i];
    touch(&sum);
  }
}

void f32_products(std::uint64_t turns) noexcept {
  float a[length], b[length], sums[lanes] = {};
  for (int i = 0; i < length; ++i) a[i] = 1.0f / static_cast<float>(i + 1), b[i] = static_cast<float>(i % 7);
  for (; turns > 0; --turns) {
    touch(a), touch(b);
    for (int i = 0; i < length; i += lanes) {
      for (int l = 0; l < lanes; ++l) sums[l] += a[i + l] * b[i + l];
    }
    touch(sums);
  }
}

}  // namespace

const peak_loop portable_int8 = {"int8 loop in C++", 2.0 * length, always, int8_products};
const peak_loop portable_f32 = {"f32 loop in C++", 2.0 * length, always, f32_products};

}  // namespace bq_bench
