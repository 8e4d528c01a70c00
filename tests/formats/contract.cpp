// What the contract promises of every format, on random bytes: the range of codes, decoding from codes, scales and
// minimums, and the registry's own checks. A format defined in toy.hpp joins with a registry of its own.
#include <algorithm>
#include <cmath>
#include <set>

#include "rows.hpp"
#include "src/cpu/codecs.hpp"
#include "src/cpu/scalar/isa.hpp"
#include "src/format_table.hpp"
#include "toy.hpp"

namespace {

using toy_formats = std::tuple<toy>;
using formats = decltype(std::tuple_cat(bq::all_formats{}, toy_formats{}));

float byte(std::uint32_t word, int j) { return static_cast<float>(bq::block_source::signed_byte(word, j)); }

bool same(float a, float b) { return bq::f32_to_bits(a) == bq::f32_to_bits(b) || (std::isnan(a) && std::isnan(b)); }

// Whether 4 bytes of `n` codebook entries hold the value.
bool in_codebook(const bq::codebook16& table, int value) {
  for (int i = 0; i < 16; ++i) {
    if (bq::block_source::signed_byte(table.word[i / 4], i) == value) return true;
  }
  return false;
}

// Formats that break the contract.
struct same_id : toy {
  static constexpr const char* name = "other";
};
struct same_name : toy {
  static constexpr bq::type id = static_cast<bq::type>(9001);
};
struct gap : toy {
  static constexpr std::array<bq::plane, 2> planes() { return {{{0, 1, 1, false}, {2, 4, 4, false}}}; }
};
struct short_by_one : toy {
  static constexpr std::array<bq::plane, 2> planes() { return {{{0, 2, 1, false}, {2, 3, 1, false}}}; }
};

}  // namespace

TEST_CASE_TEMPLATE_DEFINE("codes stay below 2^code_bits, signed codes in the range that follows", F, code_range) {
  if constexpr (bq::coded_format<F>) {
    for (const auto& block : rows::random_blocks<F>(300, 1)) {
      const bq::block_source s(&block);
      for (int w = 0; w < F::block_size / 4; ++w) {
        const std::uint32_t codes = F::codes(s, w), values = bq::signed_codes<F>(s, w);
        for (int j = 0; j < 4; ++j) {
          const int code = bq::block_source::unsigned_byte(codes, j), value = bq::block_source::signed_byte(values, j);
          CHECK(code < 1 << F::code_bits);
          if constexpr (bq::has_codebook<F>)
            CHECK(in_codebook(F::codebook(), value));
          else
            CHECK(value == code - F::zero);
        }
      }
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(code_range, formats);

TEST_CASE_TEMPLATE_DEFINE("random blocks use every code", F, code_use) {
  if constexpr (bq::coded_format<F>) {
    std::set<int> seen;
    for (const auto& block : rows::random_blocks<F>(300, 2)) {
      const bq::block_source s(&block);
      for (int w = 0; w < F::block_size / 4; ++w) {
        for (int j = 0; j < 4; ++j) seen.insert(bq::block_source::unsigned_byte(F::codes(s, w), j));
      }
    }
    CHECK(seen.size() == (std::is_same_v<F, bq::tq1_0> ? 3u : 1u << F::code_bits));
  }
}
TEST_CASE_TEMPLATE_APPLY(code_use, formats);

TEST_CASE_TEMPLATE_DEFINE("a weight is scale * code - minimum of its group", F, decoding) {
  if constexpr (bq::coded_format<F>) {
    for (const auto& block : rows::random_blocks<F>(50, 3)) {
      const bq::block_source s(&block);
      float whole[F::block_size], word[4];
      bq::decode_block<F>(block, whole);
      for (int w = 0; w < F::block_size / 4; ++w) {
        bq::decode_word<F>(s, w, word);
        for (int j = 0; j < 4; ++j) {
          const int g = (4 * w + j) / F::group;
          float expected = F::d(s, g);
          if constexpr (bq::has_scales<F>) expected *= byte(F::scales(s, g / 4), g % 4);
          expected *= byte(bq::signed_codes<F>(s, w), j);
          if constexpr (bq::has_mins<F>) {
            expected -= F::dmin(s) * static_cast<float>(F::mins(s, g / 4) >> (8 * (g % 4)) & 255u);
          } else if constexpr (bq::has_min<F>) {
            expected -= F::dmin(s);
          }
          CHECK(same(whole[4 * w + j], expected));
          CHECK(same(word[j], expected));
        }
      }
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(decoding, formats);

TEST_CASE_TEMPLATE_DEFINE("a block is finite exactly when its weights are, and its scales are numbers", F, finite) {
  for (const auto& block : rows::random_blocks<F>(3000, 4)) {
    float out[F::block_size];
    bq::decode_block<F>(block, out);
    bool expected = std::all_of(out, out + F::block_size, [](float v) { return std::isfinite(v); });
    if constexpr (requires(bq::block_source s) { F::valid(s); })
      expected = expected && F::valid(bq::block_source(&block));
    CHECK(bq::block_is_finite<F>(block) == expected);
  }
}
TEST_CASE_TEMPLATE_APPLY(finite, formats);

TEST_CASE("a registry refuses formats that break the contract") {
  static_assert(bq::is_registry<toy_formats>());
  static_assert(!bq::is_registry<std::tuple<toy, same_id>>());
  static_assert(!bq::is_registry<std::tuple<toy, same_name>>());
  static_assert(!bq::is_registry<std::tuple<gap>>());
  static_assert(!bq::is_registry<std::tuple<short_by_one>>());
  CHECK(std::tuple_size_v<formats> == std::tuple_size_v<bq::all_formats> + 1);
}

TEST_CASE("a format outside the library gets its table row from a registry of its own") {
  const bq::format_row& row = bq::format_table<toy_formats>::rows[0];
  CHECK(row.info.id == toy::id);
  CHECK(row.info.name == "toy");
  CHECK(row.info.block_size == 16);
  CHECK(row.info.block_bytes == 6);
  CHECK(row.info.bits_per_weight() == 3.0);
  CHECK(row.info.quantized);
  CHECK_FALSE(row.info.activation_only);
  CHECK_FALSE(row.info.uses_importance);

  const auto x = rows::normal(64, 8);
  std::vector<toy::block> blocks(4);
  std::vector<float> y(64);
  const bq::cpu::codec& codec = bq::cpu::codec_table<bq::one_lane, bq::scalar::isa, toy_formats>::rows[0];
  codec.quantize(x.data(), 1, 64, nullptr, blocks.data());
  codec.decode(blocks.data(), 4, y.data());
  CHECK(y == rows::decoded<toy>(rows::blocks_of<toy>(x)));
  CHECK(row.first_not_finite(blocks.data(), 4) == -1);
}
