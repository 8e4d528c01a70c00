// Activations whose scales depend on those of other runs, as the quantisers of every instruction set give them: the
// same bits everywhere, codes, sums and scales as src/cpu/activations.hpp defines them.
#include <doctest/doctest.h>

#include <blockquant/matmul.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "src/cpu/activations.hpp"
#include "src/cpu/aligned_buffer.hpp"
#include "src/cpu/kernels.hpp"

namespace {

struct quantised {
  bq::cpu::activations view{};
  bq::cpu::aligned_buffer memory;

  quantised(const std::vector<float>& x, std::int64_t tokens, std::int64_t cols, int planes,
            bq::activation_scaling scales, std::string_view isa) {
    view.cols = cols;
    view.tokens = tokens;
    view.planes = planes;
    view.scales = scales;
    std::byte* const bytes = memory.reserve(view.bytes());
    std::memset(bytes, 0xff, view.bytes());
    view.place(bytes);
    bq::cpu::choose(isa).get().quantize(x.data(), cols, 0, tokens, view);
  }
  // Run r of a token.
  float d(std::int64_t token, std::int64_t r) const {
    constexpr int runs = bq::cpu::activations::panel_runs;
    return view.d_of(r / runs, token)[r % runs];
  }
  int code(std::int64_t token, std::int64_t column) const {
    constexpr int cols = bq::cpu::panel_cols;
    int out = 0;
    for (int p = 0; p < view.planes; ++p) out = 255 * out + view.codes_of(column / cols, token, p)[column % cols];
    return out;
  }
  int sum_of_half(std::int64_t token, std::int64_t half) const {
    constexpr int runs = bq::cpu::activations::panel_runs;
    const std::int64_t r = half / 2;
    int out = 0;
    for (int p = 0; p < view.planes; ++p)
      out = 255 * out + view.sums_of(r / runs, token, p)[half % 2 * runs + r % runs];
    return out;
  }
};

std::vector<float> values(std::int64_t n, float sigma) {
  std::mt19937 random(static_cast<unsigned>(n));
  std::normal_distribution<float> normal(0.0f, sigma);
  std::vector<float> x(static_cast<std::size_t>(n));
  for (float& v : x) v = normal(random);
  return x;
}

using enum bq::activation_scaling;

}  // namespace

TEST_CASE("scales that are powers of two below the largest of 512 columns, on every instruction set") {
  constexpr std::int64_t tokens = 2;
  for (const std::int64_t cols : {32, 512, 800}) {
    auto x = values(tokens * cols, 2.0f);
    x[3] = 5000.0f;  // leaves little of its panel's other runs
    for (std::int64_t i = cols; i < cols + 32; ++i) x[static_cast<std::size_t>(i)] *= 1e-20f;  // far below
    const quantised expected(x, tokens, cols, 1, powers, "scalar");
    for (const std::string_view isa : bq::isas()) {
      const quantised q(x, tokens, cols, 1, powers, isa);
      CHECK(std::memcmp(q.view.codes, expected.view.codes, q.view.bytes()) == 0);
    }
    bool good = true;
    for (std::int64_t t = 0; t < tokens; ++t) {
      for (std::int64_t r = 0; r < cols / 32; ++r) {
        const auto top = [&](std::int64_t first, std::int64_t last) {
          float out = 0;
          for (std::int64_t c = first; c < std::min(last, cols); ++c)
            out = std::max(out, std::abs(x[static_cast<std::size_t>(t * cols + c)]));
          return out;
        };
        float scale = top(r / 16 * 512, r / 16 * 512 + 512);
        for (int halvings = 0; halvings < 15 && scale / 2 >= top(r * 32, r * 32 + 32); ++halvings) scale /= 2;
        good = good && expected.d(t, r) == scale / 127.0f;
        for (std::int64_t c = r * 32; c < r * 32 + 32; ++c) {
          const double exact = x[static_cast<std::size_t>(t * cols + c)] * 127.0 / static_cast<double>(scale);
          good = good && std::abs(expected.code(t, c) - exact) <= 0.5 + 127 * 0x1p-23;
        }
      }
    }
    CHECK(good);
  }
}

TEST_CASE("a scale shared by 256 columns is that of the largest of them, on every instruction set") {
  constexpr std::int64_t tokens = 3;
  for (const std::int64_t cols : {256, 512, 768, 1280}) {
    for (const int planes : {1, 2}) {
      auto x = values(tokens * cols, 2.0f);
      x[static_cast<std::size_t>(cols + 40)] = 300.0f;  // an outlier that its whole group notices
      const quantised expected(x, tokens, cols, planes, shared, "scalar");
      for (const std::string_view isa : bq::isas()) {
        INFO(std::string(isa) << ", " << cols << " columns, " << planes << " planes");
        const quantised q(x, tokens, cols, planes, shared, isa);
        CHECK(std::memcmp(q.view.codes, expected.view.codes, q.view.bytes()) == 0);
      }
      const double limit = planes == 2 ? 127.0 * 256.0 : 127.0;
      bool good_scales = true, good_codes = true, good_sums = true;
      for (std::int64_t t = 0; t < tokens; ++t) {
        for (std::int64_t first = 0; first < cols; first += 256) {
          const float* group = x.data() + t * cols + first;
          double top = 0;
          for (int i = 0; i < 256; ++i) top = std::max(top, std::abs(static_cast<double>(group[i])));
          for (std::int64_t r = first / 32; r < (first + 256) / 32; ++r) {
            good_scales = good_scales && expected.d(t, r) == static_cast<float>(top) / static_cast<float>(limit);
          }
          for (int half = 0; half < 16; ++half) {
            int sum = 0;
            for (int i = 0; i < 16; ++i) {
              const int code = expected.code(t, first + half * 16 + i);
              good_codes = good_codes && std::abs(code - group[half * 16 + i] * limit / top) <= 0.5 + limit * 0x1p-23;
              sum += code;
            }
            good_sums = good_sums && expected.sum_of_half(t, first / 16 + half) == sum;
          }
        }
      }
      CHECK(good_scales);
      CHECK(good_codes);
      CHECK(good_sums);
    }
  }
}

TEST_CASE("a NaN spoils its group of 256 and no other") {
  auto x = values(1024, 1.0f);
  const quantised clean(x, 1, 1024, 1, shared, "scalar");
  x[300] = std::numeric_limits<float>::quiet_NaN();
  for (const std::string_view isa : bq::isas()) {
    const quantised q(x, 1, 1024, 1, shared, isa);
    bool as_expected = true;
    for (std::int64_t r = 0; r < 32; ++r) {
      as_expected = as_expected && (r / 8 == 1 ? std::isnan(q.d(0, r)) : q.d(0, r) == clean.d(0, r));
    }
    CHECK(as_expected);
  }
}
