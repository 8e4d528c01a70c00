// Paged attention on the GPU against f64, with bounds derived from the roundings that its header states; the same bits
// however the tokens are divided into calls and batches; blind to what a token does not see.
#include <algorithm>
#include <blockquant/cuda_ops.hpp>
#include <blockquant/quantize.hpp>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>

#include "device.hpp"

namespace {

struct shape {
  bq::type keys, values;
  std::int64_t heads, kv_heads, head_dim, page, window;
};

// Sequences over one cache: sequence i has lengths[i] positions in pages of its own, all pages shuffled.
struct problem {
  shape s;
  std::vector<std::int64_t> lengths;
  std::int64_t most_pages = 0, slots = 0;
  std::vector<std::int32_t> table;                  // [sequences, most_pages]
  std::vector<std::vector<float>> q, keys, values;  // of every position; decoded
  bq::attention_options o;
  device::array<std::byte> device_keys, device_values;
  device::array<std::int32_t> device_table;

  problem(const shape& sh, const std::vector<std::int64_t>& n, float sigma = 1.0f)
      : s(sh),
        lengths(n),
        table(pages_of(sh, n)),
        device_keys(bytes(sh.keys)),
        device_values(bytes(sh.values)),
        device_table(table) {
    o.heads = s.heads, o.kv_heads = s.kv_heads, o.head_dim = s.head_dim, o.window = s.window;
    o.scale = 1.0f / std::sqrt(static_cast<float>(s.head_dim));
    REQUIRE(cudaMemset(device_keys.get(), 0xff, bytes(s.keys)) == cudaSuccess);  // NaN, where floats are concerned
    REQUIRE(cudaMemset(device_values.get(), 0xff, bytes(s.values)) == cudaSuccess);
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      const auto count = static_cast<std::size_t>(lengths[i] * s.kv_heads * s.head_dim);
      const auto seed = static_cast<unsigned>(60 + 3 * i);
      q.push_back(device::normal(static_cast<std::size_t>(lengths[i] * s.heads * s.head_dim), seed, 2.0f * sigma));
      keys.push_back(device::normal(count, seed + 1));
      values.push_back(device::normal(count, seed + 2));
      write(i);
    }
  }

  std::vector<std::int32_t> pages_of(const shape& sh, const std::vector<std::int64_t>& n) {
    const std::int64_t longest = *std::max_element(n.begin(), n.end());
    most_pages = (longest + sh.page - 1) / sh.page;
    slots = most_pages * sh.page * static_cast<std::int64_t>(n.size());
    std::vector<std::int32_t> pages(static_cast<std::size_t>(most_pages) * n.size());
    std::iota(pages.begin(), pages.end(), 0);
    std::shuffle(pages.begin(), pages.end(), std::mt19937(59));
    return pages;
  }
  std::size_t bytes(bq::type t) const {
    return static_cast<std::size_t>(slots) * bq::row_bytes(t, s.kv_heads * s.head_dim);
  }
  bq::cuda::paged_cache cache() const {
    return {s.keys, s.values, device_keys.get(), device_values.get(), slots, s.page, s.kv_heads, s.head_dim};
  }

  // Sequence i's keys and values into the cache; what the cache then holds takes their place here.
  void write(std::size_t i) {
    std::vector<std::int64_t> to(static_cast<std::size_t>(lengths[i]));
    for (std::int64_t p = 0; p < lengths[i]; ++p) {
      const std::int64_t page = table[i * static_cast<std::size_t>(most_pages) + static_cast<std::size_t>(p / s.page)];
      to[static_cast<std::size_t>(p)] = page * s.page + p % s.page;
    }
    const device::array<float> k(keys[i]), v(values[i]);
    const device::array<std::int64_t> slot(to);
    bq::cuda::append(cache(), bq::cuda::element::f32, k.get(), v.get(), slot.get(), lengths[i]);
    for (auto* x : {&keys[i], &values[i]}) {
      const bq::type t = x == &keys[i] ? s.keys : s.values;
      const std::int64_t cols = s.kv_heads * s.head_dim;
      std::vector<std::byte> blocks(static_cast<std::size_t>(lengths[i]) * bq::row_bytes(t, cols));
      const bool finite = std::all_of(x->begin(), x->end(), [](float e) { return std::isfinite(e); });
      if (!finite) continue;
      bq::quantize(t, *x, lengths[i], cols, blocks);
      bq::dequantize(t, blocks, lengths[i], cols, *x);
    }
    REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
  }

  struct part {
    std::size_t sequence;
    std::int64_t position, tokens;
  };
  // Outputs of some tokens of some sequences, in one call.
  std::vector<float> run(const std::vector<part>& parts) const {
    std::vector<std::int32_t> first{0}, positions, pages;
    std::vector<float> queries;
    std::int64_t most_tokens = 0, most_positions = 0;
    const std::int64_t width = s.heads * s.head_dim;
    for (const part& p : parts) {
      first.push_back(first.back() + static_cast<std::int32_t>(p.tokens));
      positions.push_back(static_cast<std::int32_t>(p.position));
      const auto row = table.begin() + static_cast<std::ptrdiff_t>(p.sequence) * most_pages;
      pages.insert(pages.end(), row, row + most_pages);
      const auto from = q[p.sequence].begin() + p.position * width;
      queries.insert(queries.end(), from, from + p.tokens * width);
      most_tokens = std::max(most_tokens, p.tokens);
      most_positions = std::max(most_positions, p.position + p.tokens);
    }
    const device::array<std::int32_t> d_first(first), d_positions(positions), d_pages(pages);
    const device::array<float> d_q(queries), out(queries.size());
    const bq::cuda::attention_batch batch{static_cast<std::int64_t>(parts.size()),
                                          first.back(),
                                          d_first.get(),
                                          d_positions.get(),
                                          d_pages.get(),
                                          most_pages,
                                          most_tokens,
                                          most_positions};
    const device::array<std::byte> scratch(static_cast<std::size_t>(bq::cuda::attention_scratch(batch, o)));
    bq::cuda::attention(d_q.get(), cache(), batch, out.get(), scratch.get(), o);
    return out.read();
  }
  std::vector<float> all(std::size_t i) const { return run({{i, 0, lengths[i]}}); }

  // Largest error of `out`, outputs of positions from `position` on, over its bound:
  //   scores    sums of D products in steps of 16, twice (high and low); q to 22 bits; keys to f16: the scale of e^s
  //   outputs   the same sums over the keys, p to 22 bits, joined slices; values to f16
  double worst(const std::vector<float>& out, std::size_t i, std::int64_t position) const {
    const auto decoded_exactly = [](bq::type t) { return t == bq::type::f16; };
    const double eps = 0x1p-23, to_f16 = 0x1p-11, d = static_cast<double>(s.head_dim);
    const std::int64_t width = s.heads * s.head_dim, kv_width = s.kv_heads * s.head_dim;
    const std::int64_t n = static_cast<std::int64_t>(out.size()) / width;
    double ratio = 0;
    for (std::int64_t t = position; t < position + n; ++t) {
      const std::int64_t begin = s.window ? std::max<std::int64_t>(0, t + 1 - s.window) : 0;
      for (std::int64_t h = 0; h < s.heads; ++h) {
        const float* query = &q[i][static_cast<std::size_t>(t * width + h * s.head_dim)];
        const std::int64_t at = h / (s.heads / s.kv_heads) * s.head_dim;
        std::vector<double> score;
        double top = -1e300, error = 0;
        for (std::int64_t k = begin; k <= t; ++k) {
          const float* key = &keys[i][static_cast<std::size_t>(k * kv_width + at)];
          double dot = 0, terms = 0;
          for (std::int64_t e = 0; e < s.head_dim; ++e) {
            dot += static_cast<double>(query[e]) * key[e];
            terms += std::abs(static_cast<double>(query[e]) * key[e]);
          }
          score.push_back(dot * o.scale);
          top = std::max(top, score.back());
          error = std::max(error, std::abs(static_cast<double>(o.scale)) * terms *
                                      ((d / 8 + 8) * eps + (decoded_exactly(s.keys) ? 0 : to_f16)));
        }
        double total = 0;
        for (double& p : score) total += p = std::exp(p - top);
        for (std::int64_t e = 0; e < s.head_dim; ++e) {
          double exact = 0, terms = 0, largest = 0;
          for (std::int64_t k = begin; k <= t; ++k) {
            const double v = values[i][static_cast<std::size_t>(k * kv_width + at + e)];
            exact += score[static_cast<std::size_t>(k - begin)] * v / total;
            terms += score[static_cast<std::size_t>(k - begin)] * std::abs(v) / total;
            largest = std::max(largest, std::abs(v));
          }
          const double keys_seen = static_cast<double>(t + 1 - begin);
          const double relative = 2 * error * std::exp(2 * error) + (keys_seen / 8 + 64) * eps +
                                  (decoded_exactly(s.values) ? 0 : to_f16) + 40 * eps;
          const double bound = terms * relative + keys_seen * largest * 0x1p-38;
          const float found = out[static_cast<std::size_t>((t - position) * width + h * s.head_dim + e)];
          if (std::isnan(found)) return INFINITY;
          if (found != exact) ratio = std::max(ratio, std::abs(found - exact) / bound);
        }
      }
    }
    return ratio;
  }
};

using enum bq::type;
const std::vector<shape> shapes{
    {f16, f16, 8, 2, 64, 16, 0},       {q8_0, q8_0, 8, 2, 128, 16, 0},   {f16, q8_0, 4, 4, 128, 32, 0},
    {q4_0, q5_1, 4, 2, 64, 1, 0},      {iq4_nl, mxfp4, 4, 2, 96, 16, 0}, {bf16, f32, 4, 1, 128, 16, 0},
    {f16, f16, 16, 1, 128, 256, 0},    {q8_0, f16, 4, 2, 256, 16, 0},    {f16, f16, 2, 1, 80, 16, 50},
    {q8_0, q8_0, 6, 2, 32, 16, 130},   {q8_1, q4_1, 3, 1, 64, 16, 0},    {f16, f16, 4, 2, 8, 16, 0},
    {q4_0, q4_0, 8, 2, 128, 16, 0},    {q5_1, q5_1, 4, 1, 96, 16, 200},  {bf16, bf16, 8, 1, 128, 16, 0},
    {f32, f32, 4, 2, 128, 16, 0},      {mxfp4, mxfp4, 4, 2, 128, 16, 0}, {mxfp4, mxfp4, 4, 2, 64, 16, 0},
    {iq4_nl, iq4_nl, 4, 4, 64, 16, 0},
};

}  // namespace

TEST_CASE("attention agrees with f64 for every kind of cache and shape, one token and many") {
  if (device::missing()) return;
  for (const shape& s : shapes) {
    CAPTURE(std::string(bq::info(s.keys).name));
    CAPTURE(s.head_dim);
    const problem p(s, {300});
    const auto out = p.all(0);
    CHECK(p.worst(out, 0, 0) <= 1);
    for (const std::int64_t at : {0, 1, 127, 128, 299}) {
      CAPTURE(at);
      CHECK(p.worst(p.run({{0, at, 1}}), 0, at) <= 1);
    }
  }
}

TEST_CASE("a token's bits do not depend on the batch, nor on how tokens are divided into calls") {
  if (device::missing()) return;
  for (const shape& s : shapes) {
    CAPTURE(std::string(bq::info(s.keys).name));
    CAPTURE(s.head_dim);
    const problem p(s, {700, 33, 129});
    std::vector<float> alone;
    for (std::size_t i = 0; i < 3; ++i) {
      const auto out = p.all(i);
      alone.insert(alone.end(), out.begin(), out.end());
    }
    CHECK(device::same_bits(p.run({{0, 0, 700}, {1, 0, 33}, {2, 0, 129}}), alone));
    CHECK(device::same_bits(p.run({{0, 0, 700}, {1, 0, 33}, {2, 0, 129}}), alone));
    const std::size_t width = static_cast<std::size_t>(s.heads * s.head_dim);
    std::vector<float> pieces;
    for (std::int64_t at = 0; at < 700;) {
      const std::int64_t n = std::min<std::int64_t>(at % 3 == 0 ? 1 : at % 97, 700 - at);
      const auto out = p.run({{0, at, std::max<std::int64_t>(n, 1)}});
      pieces.insert(pieces.end(), out.begin(), out.end());
      at += std::max<std::int64_t>(n, 1);
    }
    CHECK(device::same_bits(
        pieces, std::vector<float>(alone.begin(), alone.begin() + 700 * static_cast<std::ptrdiff_t>(width))));
    // The last tokens of all sequences, as when decoding.
    std::vector<float> last;
    for (const std::size_t end : {std::size_t{700}, std::size_t{733}, std::size_t{862}}) {
      last.insert(last.end(), alone.begin() + static_cast<std::ptrdiff_t>((end - 1) * width),
                  alone.begin() + static_cast<std::ptrdiff_t>(end * width));
    }
    CHECK(device::same_bits(p.run({{0, 699, 1}, {1, 32, 1}, {2, 128, 1}}), last));
    // So many at once that kernels of their own have them; one token and, where rows suffice, two.
    std::vector<problem::part> many;
    std::vector<float> expected;
    for (int i = 0; i < 400; ++i) {
      const auto end = i % 50 == 0 ? 700 - i / 50 : 60 + i;
      const auto n = i % 3 == 0 && s.heads / s.kv_heads <= 8 ? 2 : 1;
      many.push_back({0, end - n, n});
      const auto at = alone.begin() + (end - n) * static_cast<std::ptrdiff_t>(width);
      expected.insert(expected.end(), at, at + n * static_cast<std::ptrdiff_t>(width));
    }
    CHECK(device::same_bits(p.run(many), expected));
  }
}

TEST_CASE("what a token does not see does not touch it, not even NaN") {
  if (device::missing()) return;
  for (const bool spoil_keys : {false, true}) {
    problem p({f16, f16, 4, 2, 64, 16, 40}, {260});
    const auto clean = p.all(0);
    auto& spoilt = spoil_keys ? p.keys[0] : p.values[0];
    std::fill_n(spoilt.begin() + 170 * 128, 128, std::numeric_limits<float>::quiet_NaN());
    p.write(0);
    const auto out = p.all(0);
    std::vector<problem::part> many;  // two of each, so many that kernels of their own have them
    for (int i = 0; i < 259 * 3; ++i) many.push_back({0, i % 259, 2});
    const auto pairs = p.run(many);
    bool as_expected = true;
    for (std::int64_t t = 0; t < 260; ++t) {
      const bool sees = t >= 170 && t - 170 < 40;
      const auto one = p.run({{0, t, 1}});
      for (std::size_t i = 0; i < 256; ++i) {
        const std::size_t at = static_cast<std::size_t>(t) * 256 + i, in_pair = at + static_cast<std::size_t>(t) * 256;
        for (const float found :
             {out[at], one[i], t < 259 ? pairs[in_pair] : out[at], t > 0 ? pairs[in_pair - 256] : out[at]}) {
          as_expected = as_expected && (sees ? std::isnan(found) : found == clean[at]);
        }
      }
    }
    CHECK(as_expected);
  }
}

TEST_CASE("attention of very different scores and of queries of every size") {
  if (device::missing()) return;
  for (const float sigma : {1e-20f, 100.0f, 6e4f}) {
    problem p({f16, f16, 4, 2, 64, 16, 0}, {200}, sigma);
    CHECK(p.worst(p.all(0), 0, 0) <= 1);
  }
}

TEST_CASE("impossible attention is an error before the device is asked") {
  alignas(16) float q[64] = {};
  alignas(16) std::byte rows[1024];
  const std::int32_t numbers[4] = {};
  const bq::cuda::paged_cache cache{f16, f16, rows, rows, 16, 16, 1, 32};
  const bq::cuda::attention_batch batch{1, 1, numbers, numbers, numbers, 1, 1, 1};
  bq::attention_options options;
  options.heads = 2, options.kv_heads = 1, options.head_dim = 32;
  using enum bq::errc;
  const auto with = [&](const auto& change) {
    auto c = cache;
    auto b = batch;
    auto o = options;
    change(c, b, o);
    return device::code_of([&] { bq::cuda::attention(q, c, b, q, rows, o); });
  };
  CHECK(with([](auto&, auto&, auto& o) { o.heads = 0; }) == bad_shape);
  CHECK(with([](auto&, auto&, auto& o) { o.kv_heads = 2; }) == bad_shape);
  CHECK(with([](auto&, auto&, auto& o) { o.window = -1; }) == bad_shape);
  CHECK(with([](auto& c, auto&, auto& o) { c.head_dim = o.head_dim = 12; }) == bad_shape);
  CHECK(with([](auto& c, auto&, auto&) { c.slots = 15; }) == bad_shape);
  CHECK(with([](auto& c, auto&, auto& o) {
          c.head_dim = o.head_dim = 256;
          c.keys_type = q4_K;
        }) == unsupported_type);
  CHECK(with([](auto& c, auto&, auto&) { c.keys_type = iq2_xs; }) == unknown_type);
  CHECK(with([](auto&, auto& b, auto&) { b.sequences = -1; }) == bad_shape);
  CHECK(with([](auto&, auto& b, auto&) { b.first = nullptr; }) == invalid_argument);
  CHECK(with([](auto& c, auto&, auto&) { c.values = nullptr; }) == invalid_argument);
}
