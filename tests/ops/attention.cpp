// Attention over caches of every type, on every instruction set: against f64 with derived bounds, bit for bit the same
// whatever the instruction set, the threads and the division of the tokens, and blind to what a token does not see.
#include <blockquant/error.hpp>
#include <blockquant/quantize.hpp>
#include <cmath>
#include <limits>

#include "inputs.hpp"

namespace {

using namespace test_ops;

struct cached {
  bq::type id;
  std::int64_t rows, cols;
  std::vector<std::byte> blocks;
  std::vector<float> values;  // decoded

  cached(bq::type type, std::int64_t n_rows, std::int64_t n_cols, unsigned seed, float sigma)
      : id(type), rows(n_rows), cols(n_cols), blocks(static_cast<std::size_t>(rows) * bq::row_bytes(type, cols)) {
    values = normal(static_cast<std::size_t>(rows * cols), seed, sigma);
    bq::quantize(id, values, rows, cols, blocks);
    bq::dequantize(id, blocks, rows, cols, values);
  }
  bq::matrix view() const { return {id, rows, cols, blocks}; }
};

struct problem {
  bq::attention_options o;
  std::int64_t position, tokens;
  cached keys, values;
  std::vector<float> q;

  problem(bq::type k, bq::type v, std::int64_t heads, std::int64_t kv_heads, std::int64_t head_dim, std::int64_t at,
          std::int64_t n, std::int64_t window = 0)
      : position(at),
        tokens(n),
        keys(k, at + n, kv_heads * head_dim, 11, 1.0f),
        values(v, at + n, kv_heads * head_dim, 12, 1.0f),
        q(normal(static_cast<std::size_t>(n * heads * head_dim), 13, 2.0f)) {
    o.heads = heads, o.kv_heads = kv_heads, o.head_dim = head_dim, o.window = window;
    o.scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
  }

  std::vector<float> run(std::int64_t batch, std::string_view isa, bq::executor* threads = nullptr) const {
    auto options = o;
    options.isa = isa, options.threads = threads;
    std::vector<float> out(q.size());
    const auto stride = static_cast<std::size_t>(o.heads * o.head_dim);
    for (std::int64_t first = 0; first < tokens; first += batch) {
      const bq::attention_sequence s{std::min(batch, tokens - first), position + first, keys.view(), values.view()};
      const auto at = static_cast<std::size_t>(first) * stride, n = static_cast<std::size_t>(s.tokens) * stride;
      bq::attention(std::span(q).subspan(at, n), std::span(&s, 1), std::span(out).subspan(at, n), options);
    }
    return out;
  }
};

// Scores err by head_dim + 1 roundings of their absolute terms, weights by that and by exp's 2^-22 for each rescaling,
// sums of weights and of weighted values by one rounding a key; e is the relative error of a weight then.
void check_against_f64(const problem& p, const std::vector<float>& out) {
  const std::int64_t dim = p.o.head_dim, group = p.o.heads / p.o.kv_heads;
  const auto row = [&](const std::vector<float>& x, std::int64_t r, std::int64_t head, std::int64_t heads) {
    return x.data() + (r * heads + head) * dim;
  };
  double worst = 0;
  for (std::int64_t t = 0; t < p.tokens; ++t) {
    const std::int64_t last = p.position + t, first = p.o.window ? std::max<std::int64_t>(0, last + 1 - p.o.window) : 0;
    for (std::int64_t h = 0; h < p.o.heads; ++h) {
      const float* q = row(p.q, t, h, p.o.heads);
      std::vector<double> s, e;
      for (std::int64_t k = first; k <= last; ++k) {
        double sum = 0, terms = 0;
        for (std::int64_t d = 0; d < dim; ++d) {
          const double term = static_cast<double>(q[d]) * row(p.keys.values, k, h / group, p.o.kv_heads)[d] * p.o.scale;
          sum += term, terms += std::abs(term);
        }
        s.push_back(sum);
        e.push_back(terms * static_cast<double>(dim + 2) * 0x1p-24);
      }
      const double top = *std::max_element(s.begin(), s.end());
      const double keys = static_cast<double>(s.size());
      double total = 0, wrong = 0;
      for (std::size_t k = 0; k < s.size(); ++k) {
        const double weight = std::exp(s[k] - top);
        total += weight;
        wrong += weight * (2 * e[k] + std::abs(s[k] - top) * 0x1p-23 + (keys / 64 + 2) * 0x1p-21 + keys * 0x1p-23);
      }
      for (std::int64_t d = 0; d < dim; ++d) {
        double exact = 0, largest = 0;
        for (std::size_t k = 0; k < s.size(); ++k) {
          const double v = row(p.values.values, first + static_cast<std::int64_t>(k), h / group, p.o.kv_heads)[d];
          exact += std::exp(s[k] - top) / total * v;
          largest = std::max(largest, std::abs(v));
        }
        const double bound = 2 * largest * wrong / total + 1e-30;
        worst = std::max(worst, std::abs(row(out, t, h, p.o.heads)[d] - exact) / bound);
      }
    }
  }
  CHECK(worst <= 1);
}

}  // namespace

TEST_CASE("attention agrees with f64 and between instruction sets, at odd shapes") {
  struct shape {
    std::int64_t heads, kv_heads, head_dim, position, tokens, window;
  };
  for (const shape& s : {shape{1, 1, 1, 0, 1, 0}, shape{2, 1, 7, 0, 5, 0}, shape{4, 2, 64, 0, 70, 0},
                         shape{9, 3, 64, 60, 9, 0}, shape{4, 1, 256, 130, 3, 0}, shape{3, 3, 80, 63, 66, 0},
                         shape{2, 2, 32, 100, 140, 37}, shape{8, 1, 48, 300, 1, 64}, shape{2, 1, 100, 0, 200, 1}}) {
    INFO(s.heads << "/" << s.kv_heads << " heads of " << s.head_dim << ", " << s.tokens << " tokens at " << s.position
                 << ", window " << s.window);
    const problem p(bq::type::f16, bq::type::f32, s.heads, s.kv_heads, s.head_dim, s.position, s.tokens, s.window);
    const auto expected = p.run(p.tokens, "scalar");
    check_against_f64(p, expected);
    for (const auto isa : bq::isas()) CHECK(same_bits(p.run(p.tokens, isa), expected));
  }
}

TEST_CASE("keys and values may have any type that can be written, each its own") {
  for (const bq::type_info& k : bq::types()) {
    for (const bq::type v : {bq::type::f16, bq::type::q8_0, k.id}) {
      const problem p(k.id, v, 4, 2, 256, 70, 3);
      const auto expected = p.run(p.tokens, "scalar");
      check_against_f64(p, expected);
      for (const auto isa : bq::isas()) CHECK(same_bits(p.run(p.tokens, isa), expected));
    }
  }
}

TEST_CASE("results depend neither on threads nor on how the tokens are divided") {
  for (const std::int64_t window : {0, 50}) {
    const problem p(bq::type::q8_0, bq::type::f16, 6, 2, 64, 17, 150, window);
    for (const auto isa : bq::isas()) {
      const auto expected = p.run(p.tokens, isa);
      for (const std::int64_t batch : {1, 7, 64, 149}) CHECK(same_bits(p.run(batch, isa), expected));
      for (const int n : {2, 5}) {
        bq::thread_pool threads(n);
        CHECK(same_bits(p.run(p.tokens, isa, &threads), expected));
      }
    }
  }
}

TEST_CASE("several sequences in one call are those of several calls") {
  const problem a(bq::type::f16, bq::type::f16, 4, 2, 64, 5, 60), b(bq::type::q8_0, bq::type::q4_0, 4, 2, 64, 0, 33);
  auto q = a.q;
  q.insert(q.end(), b.q.begin(), b.q.end());
  auto expected = a.run(a.tokens, {});
  const auto second = b.run(b.tokens, {});
  expected.insert(expected.end(), second.begin(), second.end());
  std::vector<float> out(q.size());
  const bq::attention_sequence both[] = {{a.tokens, a.position, a.keys.view(), a.values.view()},
                                         {b.tokens, b.position, b.keys.view(), b.values.view()}};
  bq::attention(q, both, out, a.o);
  CHECK(same_bits(out, expected));
}

TEST_CASE("what a token does not see does not touch it, not even NaN") {
  problem p(bq::type::f32, bq::type::f32, 4, 2, 32, 0, 130, 40);
  const auto clean = p.run(p.tokens, {});
  const std::int64_t spoilt = 70;
  for (cached* c : {&p.keys, &p.values}) {
    std::vector<float> row(static_cast<std::size_t>(c->cols), std::numeric_limits<float>::quiet_NaN());
    std::memcpy(c->blocks.data() + static_cast<std::size_t>(spoilt * c->cols) * 4, row.data(), row.size() * 4);
  }
  for (const auto isa : bq::isas()) {
    const auto out = p.run(p.tokens, isa);
    for (std::int64_t t = 0; t < p.tokens; ++t) {
      const bool sees = t >= spoilt && t - spoilt < 40;
      bool as_expected = true;
      for (std::size_t i = static_cast<std::size_t>(t) * 128; i < static_cast<std::size_t>(t + 1) * 128; ++i) {
        as_expected = as_expected && (sees ? std::isnan(out[i]) : out[i] == clean[i]);
      }
      CHECK(as_expected);
    }
  }
}

TEST_CASE("attention of very different scores") {
  problem p(bq::type::f32, bq::type::f32, 2, 1, 64, 0, 100);
  p.o.scale = 1000;
  check_against_f64(p, p.run(p.tokens, {}));
}

TEST_CASE("impossible attention is an error") {
  const problem p(bq::type::f16, bq::type::f16, 4, 2, 32, 0, 3);
  const bq::attention_sequence good{3, 0, p.keys.view(), p.values.view()};
  std::vector<float> out(p.q.size());
  const auto code = [&](bq::attention_sequence s, bq::attention_options o) {
    return code_of([&] { bq::attention(p.q, std::span(&s, 1), out, o); });
  };
  using enum bq::errc;
  const auto with = [&](const auto& change) {
    auto s = good;
    auto o = p.o;
    change(s, o);
    return code(s, o);
  };
  CHECK(with([](auto& s, auto&) { s.tokens = 2; }) == bad_shape);
  CHECK(with([](auto& s, auto&) { s.tokens = -1; }) == bad_shape);
  CHECK(with([](auto& s, auto&) { s.position = 1; }) == bad_shape);
  CHECK(with([](auto& s, auto&) { s.position = std::numeric_limits<std::int64_t>::max(); }) == bad_shape);
  CHECK(with([](auto& s, auto&) { s.keys.cols = 32; }) == bad_shape);
  CHECK(with([](auto& s, auto&) { s.keys.blocks = s.keys.blocks.first(10); }) == bad_shape);
  CHECK(with([](auto& s, auto&) { s.values.id = bq::type::q4_K; }) == bad_shape);
  CHECK(with([](auto& s, auto&) { s.values.id = bq::type::iq2_xs; }) == unknown_type);
  CHECK(with([](auto&, auto& o) { o.kv_heads = 3; }) == bad_shape);
  CHECK(with([](auto&, auto& o) { o.head_dim = 4096; }) == bad_shape);
  CHECK(with([](auto&, auto& o) { o.window = -1; }) == bad_shape);
  CHECK_NOTHROW(bq::attention({}, {}, {}, p.o));
}
