// Operations on the GPU against the CPU's: bit for bit where the order of operations is the same, else against f64 with
// derived bounds; in every output form, at odd sizes, for NaN, infinity and values of every size.
#include <bit>
#include <blockquant/activations.hpp>
#include <blockquant/cuda_ops.hpp>
#include <cmath>
#include <limits>

#include "device.hpp"

namespace {

constexpr float inf = std::numeric_limits<float>::infinity(), not_a_number = std::numeric_limits<float>::quiet_NaN();

// All forms at once.
struct forms {
  std::int64_t tokens, cols, group;
  bq::tier tier;
  device::array<float> values, scales;
  device::array<std::byte> prepared;
  device::array<std::int8_t> codes;

  forms(std::int64_t t, std::int64_t c, std::int64_t g, bq::tier of = bq::tier::exact)
      : tokens(t),
        cols(c),
        group(g),
        tier(of),
        values(count(c)),
        scales(count(c / g)),
        prepared(bq::cuda::activation_bytes(t, c, of)),
        codes(count(c)) {}
  std::size_t count(std::int64_t n) const { return static_cast<std::size_t>(tokens * n); }
  bq::cuda::activation_outputs outputs() const {
    return {values.get(), {prepared.get(), tokens, cols, tier}, codes.get(), scales.get(), group};
  }
};

// That every form is what the rules in cuda_ops.hpp make of the values.
void check_forms(const forms& f) {
  const device::array<std::byte> expected(bq::cuda::activation_bytes(f.tokens, f.cols, f.tier));
  bq::cuda::prepare(f.values.get(), bq::cuda::element::f32, {expected.get(), f.tokens, f.cols, f.tier});
  CHECK(f.prepared.read() == expected.read());
  const auto values = f.values.read(), scales = f.scales.read();
  const auto codes = f.codes.read();
  const auto cols = static_cast<std::size_t>(f.cols), group = static_cast<std::size_t>(f.group);
  std::size_t wrong_codes = 0;
  const auto top_of = [&](std::size_t from, std::size_t n) {
    float top = 0;
    for (std::size_t i = from; i < from + n; ++i)
      top = std::isfinite(values[i]) ? std::max(top, std::abs(values[i])) : inf;
    for (std::size_t i = from; i < from + n; ++i) top = std::isfinite(values[i]) ? top : inf;
    return top;
  };
  for (std::size_t t = 0; t < static_cast<std::size_t>(f.tokens); ++t) {
    for (std::size_t at = t * cols; at < (t + 1) * cols; at += group) {
      const float largest = top_of(at, group);
      const bool tiny = largest < 0x1p-100f, finite = !std::isinf(largest);
      const float scale = tiny     ? 0.0f
                          : finite ? largest / 127.0f
                                   : not_a_number,
                  inverse = tiny || !finite ? 0.0f : 127.0f / largest;
      const float found = scales[at / group];
      CHECK((found == scale || (std::isnan(scale) && std::isnan(found))));
      for (std::size_t i = at; i < at + group; ++i) {
        wrong_codes += codes[i] != (inverse == 0 ? 0 : static_cast<int>(std::nearbyint(values[i] * inverse)));
      }
    }
  }
  CHECK(wrong_codes == 0);
}

std::vector<float> awkward(std::size_t n, unsigned seed) {
  auto x = device::normal(n, seed, 3.0f);
  for (std::size_t i = 0; i < n; i += 7) x[i] *= std::ldexp(1.0f, static_cast<int>(i % 40) - 20);
  return x;
}

}  // namespace

TEST_CASE("activations in every form follow their rules, with values of every size") {
  if (device::missing()) return;
  for (const std::int64_t cols : {32, 96, 1024, 4096, 14336, 28672}) {
    for (const std::int64_t group : {std::int64_t{32}, cols}) {
      const std::int64_t tokens = group == cols ? 9 : 77;  // few and many: products read them in different orders
      CAPTURE(cols);
      auto x = awkward(static_cast<std::size_t>(tokens * cols), 41);
      const auto at = [&](std::int64_t token, std::int64_t col) -> float& {
        return x[static_cast<std::size_t>(token * cols + col)];
      };
      for (std::int64_t c = 0; c < cols; ++c) at(1, c) = 0, at(2, c) *= 1e-38f, at(3, c) *= 1e30f, at(8, c) *= 6e4f;
      for (std::int64_t c = 0; c < 32; ++c) at(4, c) = 1e-35f;
      at(5, cols / 2) = not_a_number, at(6, cols - 1) = -inf, at(7, 0) = 65504;
      const device::array<float> in(x);
      for (const bq::tier tier : {bq::tier::exact, bq::tier::fast}) {
        const forms f(tokens, cols, group, tier);
        bq::cuda::convert_activations(in.get(), tokens, cols, f.outputs());
        CHECK(device::same_bits(f.values.read(), x));
        check_forms(f);
      }
    }
  }
}

// A square passes through at most 8 + 5 roundings in a slice of 256 columns and 4 + 5 outside, halved by the root;
// mean, epsilon, root, quotient and two products follow.
TEST_CASE("rms_norm on the GPU agrees with f64, with and without residual, in place and beside") {
  if (device::missing()) return;
  for (const std::int64_t cols : {4, 32, 128, 576, 4096, 4484, 8192, 28672}) {
    CAPTURE(cols);
    constexpr std::int64_t rows = 33;
    const auto n = static_cast<std::size_t>(rows * cols);
    const auto x = device::normal(n, 42, 20.0f), residual = device::normal(n, 43);
    const auto weight = device::normal(static_cast<std::size_t>(cols), 44);
    const device::array<float> added(residual), scale(weight);
    for (const bool add : {false, true}) {
      const device::array<float> in(x), out(n);
      bq::cuda::rms_norm(in.get(), add ? added.get() : nullptr, scale.get(), 1e-5f, rows, cols, {.values = out.get()});
      const auto sum = in.read(), y = out.read();
      double worst = 0;
      bool summed = true;
      for (std::size_t r = 0; r < static_cast<std::size_t>(rows); ++r) {
        double squares = 0;
        for (std::size_t i = r * static_cast<std::size_t>(cols); i < (r + 1) * static_cast<std::size_t>(cols); ++i) {
          summed = summed && sum[i] == (add ? x[i] + residual[i] : x[i]);
          squares += static_cast<double>(sum[i]) * sum[i];
        }
        const double factor = 1 / std::sqrt(squares / static_cast<double>(cols) + 1e-5f);
        for (std::size_t c = 0; c < static_cast<std::size_t>(cols); ++c) {
          const std::size_t i = r * static_cast<std::size_t>(cols) + c;
          const double exact = sum[i] * factor * weight[c];
          worst = std::max(worst, std::abs(y[i] - exact) / std::max(std::abs(exact), 1e-30));
        }
      }
      CHECK(summed);
      CHECK(worst <= 22.0 / 2 * 0x1p-24 + 6 * 0x1p-24);

      // Alone, in place, a row has the same bits; and in every form.
      const device::array<float> last(std::vector<float>(x.end() - cols, x.end()));
      bq::cuda::rms_norm(last.get(), add ? added.get() + (rows - 1) * cols : nullptr, scale.get(), 1e-5f, 1, cols,
                         {.values = last.get()});
      CHECK(device::same_bits(last.read(), std::vector<float>(y.end() - cols, y.end())));
      if (cols % 32 != 0) continue;
      const device::array<float> again(x);
      const forms f(rows, cols, cols == 576 ? 576 : 32);
      bq::cuda::rms_norm(again.get(), add ? added.get() : nullptr, scale.get(), 1e-5f, rows, cols, f.outputs());
      CHECK(device::same_bits(f.values.read(), y));
      check_forms(f);
    }
  }
}

TEST_CASE("gated activations have the CPU's bits, from halves of one product too") {
  if (device::missing()) return;
  for (const auto f : {bq::activation::silu, bq::activation::gelu}) {
    for (const std::int64_t cols : {32, 160, 14336}) {
      const std::int64_t tokens = cols == 160 ? 40 : 5;
      const auto n = static_cast<std::size_t>(tokens * cols);
      auto gate = awkward(n, 45), up = device::normal(n, 46);
      gate[0] = inf, gate[1] = -100, gate[2] = 0, gate[3] = 1000;
      std::vector<float> expected(n);
      bq::gated(f, gate, up, expected);
      const device::array<float> g(gate), u(up);
      const forms all(tokens, cols, 32);
      bq::cuda::gated(f, g.get(), u.get(), tokens, cols, all.outputs());
      CHECK(device::same_bits(all.values.read(), expected));
      check_forms(all);
      bq::cuda::gated(f, g.get(), u.get(), tokens, cols, {.values = g.get()});
      CHECK(device::same_bits(g.read(), expected));

      std::vector<float> both(2 * n);
      for (std::size_t i = 0; i < n; ++i) {
        const std::size_t row = i / static_cast<std::size_t>(cols), col = i % static_cast<std::size_t>(cols);
        both[2 * row * static_cast<std::size_t>(cols) + col] = gate[i];
        both[(2 * row + 1) * static_cast<std::size_t>(cols) + col] = up[i];
      }
      const device::array<float> joint(both), out(n);
      bq::cuda::gated(f, joint.get(), joint.get() + cols, tokens, cols, {.values = out.get()}, 2 * cols);
      CHECK(device::same_bits(out.read(), expected));
    }
  }
}

TEST_CASE("silu, gelu and soft cap of floats of every size have the CPU's bits") {
  if (device::missing()) return;
  std::vector<float> x;
  for (std::uint32_t bits = 0; bits < 0x7f800000u; bits += 0x7fff) {
    x.push_back(std::bit_cast<float>(bits));
    x.push_back(std::bit_cast<float>(bits | 0x80000000u));
  }
  x.resize(x.size() / 32 * 32);
  const std::vector<float> ones(x.size(), 1.0f);
  const auto n = static_cast<std::int64_t>(x.size());
  const device::array<float> gate(x), up(ones), out(x.size());
  for (const auto f : {bq::activation::silu, bq::activation::gelu}) {
    std::vector<float> expected(x.size());
    bq::gated(f, x, ones, expected);
    bq::cuda::gated(f, gate.get(), up.get(), n / 32, 32, {.values = out.get()});
    CHECK(device::same_bits(out.read(), expected));
  }
  auto expected = x;
  bq::soft_cap(expected, 30.0f);
  bq::cuda::soft_cap(gate.get(), n, 30.0f);
  CHECK(device::same_bits(gate.read(), expected));
}

TEST_CASE("rope on the GPU has the CPU's bits, in both pairings, on a part of a wider row") {
  if (device::missing()) return;
  const std::vector<std::int64_t> positions{0, 1, 5, 511, 100000};
  for (const std::int64_t dims : {2, 6, 64, 80, 128}) {
    for (const auto pairing : {bq::rope_pairing::adjacent, bq::rope_pairing::halves}) {
      for (const std::int64_t extra : {0, 37}) {
        const std::int64_t heads = 12, head_dim = dims + 5, row = heads * head_dim;
        const auto table = bq::make_rope_table({.pairing = pairing, .dims = dims, .base = 5e5}, positions);
        auto x = device::normal(positions.size() * static_cast<std::size_t>(row + extra), 47);
        const device::array<float> on_gpu(x), cosine(table.cosine), sine(table.sine);
        for (std::size_t p = 0; p < positions.size(); ++p) {
          const auto dims_at = p * static_cast<std::size_t>(dims);
          const auto part = [&](const std::vector<float>& v) {
            return std::vector<float>(v.begin() + static_cast<std::ptrdiff_t>(dims_at),
                                      v.begin() + static_cast<std::ptrdiff_t>(dims_at) + dims);
          };
          bq::apply_rope({x.data() + p * static_cast<std::size_t>(row + extra), static_cast<std::size_t>(row)}, heads,
                         head_dim, {pairing, dims, part(table.cosine), part(table.sine)});
        }
        bq::cuda::apply_rope(on_gpu.get(), static_cast<std::int64_t>(positions.size()), heads, head_dim,
                             {pairing, dims, cosine.get(), sine.get()}, row + extra);
        CHECK(device::same_bits(on_gpu.read(), x));
      }
    }
  }
}

TEST_CASE("impossible activations are errors before the device is asked") {
  alignas(16) float x[64] = {};
  alignas(16) std::int8_t codes[64];
  using enum bq::errc;
  const auto code = [&](std::int64_t tokens, std::int64_t cols, const bq::cuda::activation_outputs& o) {
    return device::code_of([&] { bq::cuda::convert_activations(x, tokens, cols, o); });
  };
  CHECK(code(1, 30, {.values = x}) == bad_shape);
  CHECK(code(-1, 32, {.values = x}) == bad_shape);
  CHECK(code(1, 1 << 20, {.values = x}) == bad_shape);
  CHECK(code(1, 32, {.values = x + 1}) == invalid_argument);
  CHECK(code(1, 32, {.prepared = {codes, 1, 64}}) == bad_shape);
  CHECK(code(1, 32, {.codes = codes}) == invalid_argument);
  CHECK(code(1, 32, {.codes = codes, .scales = x, .group = 16}) == bad_shape);
  CHECK(code(1, 36, {.codes = codes, .scales = x}) == bad_shape);
  CHECK(device::code_of([&] { bq::cuda::rms_norm(x, nullptr, nullptr, 0, 1, 32, {.values = x}); }) == invalid_argument);
  CHECK(device::code_of([&] { bq::cuda::gated(bq::activation::silu, x, x, 1, 32, {.values = x}, 30); }) == bad_shape);
  CHECK(device::code_of([&] { bq::cuda::soft_cap(nullptr, 1, 1); }) == invalid_argument);
  CHECK(device::code_of([&] { bq::cuda::soft_cap(x, -1, 1); }) == bad_shape);
  const bq::cuda::rope_table table{bq::rope_pairing::halves, 32, x, x};
  CHECK(device::code_of([&] { bq::cuda::apply_rope(x, 1, 0, 32, table); }) == bad_shape);
  CHECK(device::code_of([&] { bq::cuda::apply_rope(x, 1, 1, 16, table); }) == bad_shape);
  CHECK(device::code_of([&] { bq::cuda::apply_rope(x, 1, 1, 32, table, 16); }) == bad_shape);
}
