// The worked examples of formats/README.md: a few bytes of an otherwise zero block, and the weights they make.
#include <utility>

#include "rows.hpp"

namespace {

using bytes = std::vector<std::pair<int, int>>;      // offset, byte
using weights = std::vector<std::pair<int, float>>;  // index, weight

template <class F>
void check(const bytes& given, const weights& expected) {
  unsigned char raw[sizeof(typename F::block)] = {};
  for (const auto& [at, value] : given) raw[at] = static_cast<unsigned char>(value);
  typename F::block block;
  std::memcpy(&block, raw, sizeof(block));
  float out[F::block_size];
  bq::decode_block<F>(block, out);
  INFO(std::string(F::name));
  for (const auto& [i, weight] : expected) CHECK(out[i] == weight);
}

}  // namespace

TEST_CASE("the worked examples of the format documentation") {
  check<bq::q4_0>({{1, 0x38}, {2, 0x9f}}, {{0, 3.5f}, {16, 0.5f}, {1, -4.0f}});
  check<bq::q5_1>({{1, 0x34}, {3, 0xbc}, {6, 0x01}, {8, 0x31}}, {{0, -0.75f}, {16, 3.75f}, {1, -1.0f}});
  check<bq::q4_K>({{1, 0x30}, {3, 0x2c}, {5, 0x80}, {9, 0x40}, {13, 0x23}, {85, 0x70}}, {{165, 29.5f}, {164, -1.125f}});
  check<bq::q2_K>({{2, 0x49}, {21, 0x0c}, {81, 0x3c}, {83, 0x38}}, {{37, 25.0f}, {36, -2.0f}});
  check<bq::q3_K>({{8, 0x40}, {72, 0x20}, {100, 0x20}, {104, 0xc0}, {109, 0x38}}, {{200, 18.0f}, {201, -36.0f}});
  check<bq::q6_K>({{36, 0xd0}, {132, 0x80}, {198, 0xfb}, {209, 0x3c}}, {{100, -65.0f}, {101, 160.0f}});
  check<bq::iq4_xs>({{1, 0x3c}, {2, 0x08}, {4, 0x90}, {26, 0xc0}}, {{50, 477.0f}, {51, -1143.0f}});
  check<bq::mxfp4>({{0, 0x82}, {1, 0x5b}}, {{0, -12.0f}, {16, 24.0f}});
  check<bq::nvfp4>({{1, 0x41}, {13, 0x07}}, {{17, 13.5f}, {16, 0.0f}});
  check<bq::tq1_0>({{3, 0xba}, {53, 0x3c}}, {{3, 1.0f}, {35, -1.0f}, {67, 0.0f}, {99, 0.0f}, {131, 1.0f}});
}
