// The entry points rms_norm, gated, soft_cap, quantize_tokens and apply_rope: argument checks, and the division of rows
// or elements among threads when there is enough work to pay for it.
#include "blockquant/ops.hpp"

#include <algorithm>
#include <limits>
#include <string>

#include "blockquant/error.hpp"
#include "kernels.hpp"

namespace bq {

namespace {

constexpr std::int64_t elements_per_task = 1 << 14;  // a few microseconds: less is not worth waking a thread

// body(first, last) over [0, count) of things that are `size` elements each.
template <class Body>
void for_ranges(std::int64_t count, std::int64_t size, executor* threads, const Body& body) {
  const std::int64_t step = std::max<std::int64_t>(1, elements_per_task / size);
  if (!threads || count <= step) return body(std::int64_t{0}, count);
  threads->run(static_cast<std::size_t>((count + step - 1) / step), [&](std::size_t i) {
    const std::int64_t first = static_cast<std::int64_t>(i) * step;
    body(first, std::min(first + step, count));
  });
}

void same_size(const char* what, std::size_t expected, std::size_t found) {
  if (found == expected) return;
  throw error({.code = errc::bad_shape,
               .message = std::string("wrong number of values: ") + what,
               .expected = std::to_string(expected),
               .found = std::to_string(found)});
}

}  // namespace

void rms_norm(std::span<float> x, std::span<const float> residual, std::span<const float> weight, float epsilon,
              std::span<float> out, const ops_options& options) {
  const auto cols = static_cast<std::int64_t>(weight.size());
  if (weight.empty() || x.size() % weight.size() != 0) {
    throw error({.code = errc::bad_shape,
                 .message = "x is not a whole number of rows to normalise",
                 .expected = "a multiple of " + std::to_string(weight.size()),
                 .found = std::to_string(x.size())});
  }
  if (!residual.empty()) same_size("residual of rms_norm", x.size(), residual.size());
  same_size("out of rms_norm", x.size(), out.size());
  const cpu::operations& ops = cpu::choose(options.isa).ops();
  for_ranges(static_cast<std::int64_t>(x.size()) / cols, cols, options.threads,
             [&](std::int64_t first, std::int64_t last) {
               ops.rms_norm(x.data() + first * cols, residual.empty() ? nullptr : residual.data() + first * cols,
                            weight.data(), epsilon, last - first, cols, out.data() + first * cols);
             });
}

void gated(activation f, std::span<const float> gate, std::span<const float> up, std::span<float> out,
           const ops_options& options) {
  same_size("up of gated", gate.size(), up.size());
  same_size("out of gated", gate.size(), out.size());
  const cpu::operations& ops = cpu::choose(options.isa).ops();
  const auto kernel = f == activation::silu ? ops.silu : ops.gelu;
  for_ranges(static_cast<std::int64_t>(gate.size()), 1, options.threads, [&](std::int64_t first, std::int64_t last) {
    kernel(gate.data() + first, up.data() + first, last - first, out.data() + first);
  });
}

void soft_cap(std::span<float> x, float limit, const ops_options& options) {
  const cpu::operations& ops = cpu::choose(options.isa).ops();
  for_ranges(static_cast<std::int64_t>(x.size()), 1, options.threads,
             [&](std::int64_t first, std::int64_t last) { ops.soft_cap(x.data() + first, last - first, limit); });
}

void quantize_tokens(std::span<const float> x, std::int64_t tokens, std::int64_t cols, std::span<std::int8_t> codes,
                     std::span<float> scales, const ops_options& options) {
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  if (tokens < 0 || cols < 1 || tokens > most / cols) {
    throw error({.code = errc::bad_shape,
                 .message = "impossible tokens to quantise",
                 .expected = "0 tokens or more of 1 column or more",
                 .found = std::to_string(tokens) + " of " + std::to_string(cols)});
  }
  same_size("x of quantize_tokens", static_cast<std::size_t>(tokens * cols), x.size());
  same_size("codes of quantize_tokens", x.size(), codes.size());
  same_size("scales of quantize_tokens", static_cast<std::size_t>(tokens), scales.size());
  const cpu::operations& ops = cpu::choose(options.isa).ops();
  for_ranges(tokens, cols, options.threads, [&](std::int64_t first, std::int64_t last) {
    ops.token_codes(x.data() + first * cols, last - first, cols, codes.data() + first * cols, scales.data() + first);
  });
}

void apply_rope(std::span<float> x, std::int64_t heads, std::int64_t head_dim, const rope_table& table,
                const ops_options& options) {
  const std::int64_t dims = table.dims;
  if (heads < 1 || dims < 2 || head_dim < dims) {
    throw error({.code = errc::bad_shape,
                 .message = "impossible heads to rotate",
                 .expected = "1 head or more, of " + std::to_string(dims) + " values or more",
                 .found = std::to_string(heads) + " of " + std::to_string(head_dim)});
  }
  const auto positions = static_cast<std::int64_t>(table.cosine.size()) / dims;
  same_size("x of apply_rope", static_cast<std::size_t>(positions * heads * head_dim), x.size());
  const cpu::operations& ops = cpu::choose(options.isa).ops();
  for_ranges(positions, heads * head_dim, options.threads, [&](std::int64_t first, std::int64_t last) {
    ops.rope(x.data() + first * heads * head_dim, last - first, heads, head_dim, dims,
             table.pairing == rope_pairing::adjacent, table.cosine.data() + first * dims,
             table.sine.data() + first * dims);
  });
}

}  // namespace bq
