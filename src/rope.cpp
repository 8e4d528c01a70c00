// Frequencies of rotary positions, their scaling, and tables of cosines and sines. YaRN's blend: with turns(i) =
// original_context * frequency(i) / 2 pi, pairs from the one that makes beta_fast turns (rounded down) to the one that
// makes beta_slow (rounded up) go linearly from unscaled to scaled.
#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "blockquant/error.hpp"
#include "blockquant/ops.hpp"
#include "cpu/ops.hpp"

namespace bq {

namespace {

void check(const rope_options& o) {
  const auto wrong = [](const char* what, std::string expected, double found) {
    throw error({.code = errc::invalid_argument,
                 .message = std::string("impossible ") + what + " of rotary positions",
                 .expected = std::move(expected),
                 .found = std::to_string(found)});
  };
  if (o.dims < 2 || o.dims % 2 != 0 || o.dims > cpu::most_head_dim) {
    wrong("dimensions", "an even number from 2 to " + std::to_string(cpu::most_head_dim), static_cast<double>(o.dims));
  }
  if (!(o.base > 1)) wrong("base", "more than 1", o.base);
  if (!(o.factor > 0)) wrong("scaling factor", "more than 0", o.factor);
  if (o.scaling == rope_scaling::yarn && o.original_context < 1) {
    wrong("original context", "1 or more", static_cast<double>(o.original_context));
  }
  if (!o.factors.empty() && o.factors.size() != static_cast<std::size_t>(o.dims / 2)) {
    throw error({.code = errc::bad_shape,
                 .message = "wrong number of frequency factors",
                 .expected = std::to_string(o.dims / 2),
                 .found = std::to_string(o.factors.size())});
  }
}

// The pair, as a real number, that makes this many turns within the original context.
double pair_of_turns(const rope_options& o, double turns) {
  return static_cast<double>(o.dims) *
         std::log(static_cast<double>(o.original_context) / (turns * 2 * std::numbers::pi)) / (2 * std::log(o.base));
}

// Share of the unscaled frequency in pair i's.
double unscaled_share(const rope_options& o, std::int64_t i) {
  if (o.scaling == rope_scaling::none) return 1;
  if (o.scaling == rope_scaling::linear) return 0;
  const double low = std::max(0.0, std::floor(pair_of_turns(o, o.beta_fast)));
  const double high = std::min(static_cast<double>(o.dims - 1), std::ceil(pair_of_turns(o, o.beta_slow)));
  return 1 - std::clamp((static_cast<double>(i) - low) / std::max(0.001, high - low), 0.0, 1.0);
}

}  // namespace

rope_table make_rope_table(const rope_options& o, std::span<const std::int64_t> positions) {
  check(o);
  const auto pairs = static_cast<std::size_t>(o.dims / 2);
  std::vector<double> frequency(pairs);
  for (std::size_t i = 0; i < pairs; ++i) {
    const double plain = std::pow(o.base, -2.0 * static_cast<double>(i) / static_cast<double>(o.dims)) /
                         (o.factors.empty() ? 1.0 : static_cast<double>(o.factors[i]));
    const double share = unscaled_share(o, static_cast<std::int64_t>(i));
    frequency[i] = plain * share + plain / o.factor * (1 - share);
  }
  const double size = o.scaling == rope_scaling::yarn ? o.attention_factor * (1 + 0.1 * std::log(o.factor)) : 1;

  rope_table table{o.pairing, o.dims, {}, {}};
  table.cosine.resize(positions.size() * 2 * pairs);
  table.sine.resize(positions.size() * 2 * pairs);
  for (std::size_t p = 0; p < positions.size(); ++p) {
    for (std::size_t i = 0; i < pairs; ++i) {
      const double angle = static_cast<double>(positions[p]) * frequency[i];
      const auto cosine = static_cast<float>(size * std::cos(angle)), sine = static_cast<float>(size * std::sin(angle));
      const bool adjacent = o.pairing == rope_pairing::adjacent;
      const std::size_t a = p * 2 * pairs + (adjacent ? 2 * i : i), b = a + (adjacent ? 1 : pairs);
      table.cosine[a] = table.cosine[b] = cosine;
      table.sine[a] = -sine;
      table.sine[b] = sine;
    }
  }
  return table;
}

}  // namespace bq
