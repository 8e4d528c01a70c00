// Every instruction set gives the scalar code's bytes: every type, with and without importance, on weights of every
// magnitude, edge cases, and numbers of blocks that do not fill the lanes. And the reference decoder's bits.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "blockquant/matmul.hpp"
#include "formats/registry.hpp"
#include "src/cpu/kernels.hpp"

namespace {

using floats = std::vector<float>;

struct sample {
  const char* name;
  std::int64_t rows, cols;
  floats x;
};

floats made(std::int64_t n, auto&& value) {
  floats x(static_cast<std::size_t>(n));
  for (float& v : x) v = value();
  return x;
}

// [rows, cols] of cols = blocks * 256 in all, divided so that lanes hold blocks of several rows too.
std::vector<sample> samples() {
  std::mt19937 random(11);
  std::normal_distribution<float> normal;
  const auto gaussian = [&] { return 0.02f * normal(random); };
  std::vector<sample> out;
  for (std::int64_t blocks = 1; blocks <= 40; ++blocks)
    out.push_back({"one row", 1, 256 * blocks, made(256 * blocks, gaussian)});
  for (const std::int64_t rows : {2, 3, 17, 40}) out.push_back({"several rows", rows, 768, made(rows * 768, gaussian)});

  constexpr std::int64_t rows = 7, cols = 1024, n = rows * cols;
  const float tiny = std::numeric_limits<float>::denorm_min();
  const auto add = [&](const char* name, auto&& value) { out.push_back({name, rows, cols, made(n, value)}); };
  int i = 0;
  add("zeros", [] { return 0.0f; });
  add("negative zeros", [] { return -0.0f; });
  add("constant", [] { return 0.1f; });
  add("negative constant", [] { return -1.0f; });
  add("positive", [&] { return std::fabs(normal(random)); });
  add("negative", [&] { return -std::fabs(normal(random)); });
  add("subnormal", [&] { return static_cast<float>(static_cast<int>(random() % 7) - 3) * tiny; });
  add("nearly subnormal", [&] { return 1e-38f * normal(random); });
  add("negligible", [&] { return 1e-15f * normal(random); });
  add("large", [&] { return 1e4f * normal(random); });
  add("huge", [&] { return std::clamp(normal(random), -1.0f, 1.0f) * 3e38f; });
  add("one in 64", [&] { return i++ % 64 ? 0.0f : 3.0f; });
  add("outliers", [&] { return i++ % 256 ? 1e-6f * normal(random) : 100.0f; });
  add("ramp", [&] { return static_cast<float>(i++ % 1000); });
  add("integers", [&] { return static_cast<float>(static_cast<int>(random() % 31) - 15); });
  add("all magnitudes", [&] { return std::ldexp(normal(random), static_cast<int>(random() % 60) - 50); });
  add("blocks of all magnitudes", [&] {
    const int block = i++ / 32 % 97;
    return std::ldexp(normal(random), block - 60);
  });
  return out;
}

floats importance_of(std::int64_t cols, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  return made(cols, [&] { return random() % 8 ? std::exp(2 * normal(random)) : 0.0f; });
}

template <class F>
const bq::cpu::codec& codec_of(const bq::cpu::isa& isa) {
  const auto all = isa.codecs();
  const auto it = std::find_if(all.begin(), all.end(), [](const auto& c) { return c.id == F::id; });
  REQUIRE(it != all.end());
  return *it;
}

// The blocks' bytes; where a block is not finite (an error to the caller), only that it is not.
template <class F>
std::vector<unsigned char> quantized(const bq::cpu::isa& isa, const sample& s, const float* importance) {
  const auto count = static_cast<std::size_t>(s.rows * s.cols / F::block_size);
  std::vector<typename F::block> blocks(count);
  std::memset(static_cast<void*>(blocks.data()), 0xa5, count * sizeof(blocks[0]));
  codec_of<F>(isa).quantize(s.x.data(), s.rows, s.cols, importance, blocks.data());
  for (auto& b : blocks) {
    if (!bq::block_is_finite<F>(b)) std::memset(static_cast<void*>(&b), 0xff, sizeof b);
  }
  const auto* bytes = reinterpret_cast<const unsigned char*>(blocks.data());
  return {bytes, bytes + count * sizeof(blocks[0])};
}

}  // namespace

TEST_CASE("every instruction set gives the scalar bytes") {
  const bq::cpu::isa& scalar = bq::cpu::choose("scalar");
  for (const sample& s : samples()) {
    const floats importance = importance_of(s.cols, 5);
    bq::for_each_format([&]<class F>(F) {
      for (const float* weights : {static_cast<const float*>(nullptr), importance.data()}) {
        const auto expected = quantized<F>(scalar, s, weights);
        for (const std::string_view isa : bq::isas()) {
          INFO(std::string(F::name), " ", std::string(s.name), " ", s.rows, " x ", s.cols, " importance ",
               weights != nullptr, " ", std::string(isa));
          CHECK(quantized<F>(bq::cpu::choose(isa), s, weights) == expected);
        }
      }
    });
  }
}

TEST_CASE("every instruction set decodes random bytes to the reference's bits") {
  std::mt19937 random(12);
  bq::for_each_format([&]<class F>(F) {
    constexpr std::size_t count = 500;
    std::vector<typename F::block> blocks(count);
    auto* bytes = reinterpret_cast<unsigned char*>(blocks.data());
    for (std::size_t i = 0; i < count * sizeof(blocks[0]); ++i) bytes[i] = static_cast<unsigned char>(random());
    floats expected(count * F::block_size), decoded(expected.size());
    for (std::size_t b = 0; b < count; ++b) bq::decode_block<F>(blocks[b], expected.data() + b * F::block_size);
    for (const std::string_view isa : bq::isas()) {
      codec_of<F>(bq::cpu::choose(isa)).decode(blocks.data(), count, decoded.data());
      INFO(std::string(F::name), " ", std::string(isa));
      CHECK(std::equal(expected.begin(), expected.end(), decoded.begin(), [](float a, float b) {
        return bq::f32_to_bits(a) == bq::f32_to_bits(b) || (std::isnan(a) && std::isnan(b));
      }));
    }
  });
}
