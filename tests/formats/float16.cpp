// The small floats against their definitions in double arithmetic: every bit pattern, and every place where rounding
// changes.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "formats/float16.hpp"
#include "formats/mxfp4.hpp"

namespace {

// Value of a binary floating-point pattern without its sign: `fraction` bits below the exponent, with this bias.
double value_of(unsigned magnitude, int fraction, int bias) {
  const int exponent = static_cast<int>(magnitude >> fraction);
  const double mantissa = magnitude & ((1u << fraction) - 1);
  if (exponent == 0) return std::ldexp(mantissa, 1 - bias - fraction);
  return std::ldexp(mantissa + std::ldexp(1.0, fraction), exponent - bias - fraction);
}

// Checks an encoder between the neighbours `low` and low + 1 of magnitude: the midpoint goes to `tie`, what lies beside
// it to the nearer one, with both signs.
template <class Encode>
void check_rounding(Encode encode, double below, double above, unsigned low, unsigned tie, unsigned sign) {
  const float middle = static_cast<float>((below + above) / 2);
  REQUIRE(static_cast<double>(middle) == (below + above) / 2);
  for (const unsigned s : {0u, sign}) {
    const float direction = s ? -1.0f : 1.0f;
    CHECK(encode(direction * middle) == (s | tie));
    CHECK(encode(direction * std::nextafter(middle, 0.0f)) == (s | low));
    CHECK(encode(direction * std::nextafter(middle, std::numeric_limits<float>::infinity())) == (s | (low + 1)));
  }
}

struct small_float {
  const char* name;
  int fraction, bias;
  unsigned infinity;  // its magnitude
  float (*decode)(std::uint32_t);
  std::uint16_t (*encode)(float);
};

const small_float kinds[] = {
    {"f16", 10, 15, 0x7c00, [](std::uint32_t h) { return bq::f16_to_f32(h); },
     [](float x) { return bq::f16_from_f32(x); }},
    {"bf16", 7, 127, 0x7f80, [](std::uint32_t h) { return bq::bf16_to_f32(h); },
     [](float x) { return bq::bf16_from_f32(x); }},
};

}  // namespace

TEST_CASE("16-bit floats: every pattern decodes to its definition and comes back") {
  for (const small_float& kind : kinds) {
    INFO(kind.name);
    for (unsigned h = 0; h < 0x10000; ++h) {
      const unsigned magnitude = h & 0x7fffu;
      const float x = kind.decode(h);
      CHECK(std::signbit(x) == (h >= 0x8000u));
      if (magnitude > kind.infinity) {
        CHECK(std::isnan(x));
        CHECK((kind.encode(x) & 0x7fffu) > kind.infinity);
        continue;
      }
      CHECK(kind.encode(x) == h);
      if (magnitude == kind.infinity)
        CHECK(std::isinf(x));
      else
        CHECK(std::abs(static_cast<double>(x)) == value_of(magnitude, kind.fraction, kind.bias));
    }
  }
}

TEST_CASE("16-bit floats: rounding to nearest, ties to even, between every two neighbours") {
  for (const small_float& kind : kinds) {
    INFO(kind.name);
    for (unsigned low = 0; low < kind.infinity; ++low) {
      const double below = value_of(low, kind.fraction, kind.bias);
      const double above =
          value_of(low + 1, kind.fraction, kind.bias);  // for the last: where the next binade would begin
      check_rounding(kind.encode, below, above, low, low + (low & 1), 0x8000);
    }
    CHECK(kind.encode(std::numeric_limits<float>::max()) == kind.infinity);
    CHECK(kind.encode(-std::numeric_limits<float>::infinity()) == (0x8000u | kind.infinity));
    CHECK(kind.encode(std::numeric_limits<float>::denorm_min()) == 0);
  }
}

TEST_CASE("UE4M3: every byte decodes to half its value; 0x7f is zero and the top bit is ignored") {
  for (unsigned code = 0; code < 256; ++code) {
    const double expected = code == 0x7f ? 0.0 : value_of(code & 0x7fu, 3, 7) / 2;
    CHECK(static_cast<double>(bq::ue4m3_half_to_f32(code)) == expected);
  }
}

TEST_CASE("UE4M3: encoding is to nearest, halves upwards, but not from 7 to 8 and not into the binade of 256") {
  for (unsigned low = 0; low < 0x77; ++low) {
    const float middle = static_cast<float>((value_of(low, 3, 7) + value_of(low + 1, 3, 7)) / 2);
    CHECK(bq::ue4m3_from_f32(static_cast<float>(value_of(low, 3, 7))) == low);
    CHECK(bq::ue4m3_from_f32(middle) == (low == 7 ? low : low + 1));
    CHECK(bq::ue4m3_from_f32(middle * 0.999999f) == low);
  }
  CHECK(bq::ue4m3_from_f32(247.9f) == 0x77);
  for (const float x : {248.0f, 256.0f, 300.0f, 448.0f, 1e30f, std::numeric_limits<float>::infinity()}) {
    CHECK(bq::ue4m3_from_f32(x) == 0x7e);
  }
  for (const float x : {0.0f, -1.0f, std::numeric_limits<float>::quiet_NaN()}) CHECK(bq::ue4m3_from_f32(x) == 0);
}

TEST_CASE("E8M0: every byte decodes to half its power of two") {
  for (unsigned e = 0; e < 256; ++e) {
    CHECK(static_cast<double>(bq::e8m0_half_to_f32(e)) == std::ldexp(1.0, static_cast<int>(e) - 128));
  }
}

TEST_CASE(
    "MXFP4's scale is floor(log2) of the largest magnitude, where a logarithm rounded to f32 reaches k below 2^k") {
  float x[32] = {};
  bq::mxfp4::block b;
  const auto exponent_of = [&](float top) {
    x[7] = -top;
    bq::mxfp4::quantize<bq::one_lane>(x, {}, bq::one_lane::blocks<bq::mxfp4>(&b));
    return static_cast<int>(b.e) - 125;
  };
  for (int k = -120; k <= 127; ++k) {
    const float power = std::ldexp(1.0f, k);
    CHECK(exponent_of(power) == k);
    CHECK(exponent_of(power * 1.5f) == k);
    // ulps below 2^k whose logarithm is within half an f32 step of k: n log2(e) 2^-24 < half the step at k
    const float step = k > 0 ? static_cast<float>(k) - std::nextafter(static_cast<float>(k), 0.0f)
                             : std::nextafter(static_cast<float>(-k), 1000.0f) - static_cast<float>(-k);
    const int ulps = static_cast<int>(std::ldexp(static_cast<double>(step) / 2, 24) * std::log(2.0));
    CHECK(exponent_of(power - static_cast<float>(ulps) * std::ldexp(1.0f, k - 24)) == k);
    CHECK(exponent_of(power - static_cast<float>(ulps + 1) * std::ldexp(1.0f, k - 24)) == k - 1);
  }
}
