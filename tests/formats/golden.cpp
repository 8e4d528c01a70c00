// Every format against the golden data: the quantisers' bytes, with and without importance, and the decoders' bits.
#include "rows.hpp"

namespace {

constexpr std::size_t columns = 1024;

// The golden rows quantised one after another.
template <class F>
std::vector<typename F::block> quantized(const float* importance) {
  const auto x = rows::golden<float>("x.f32");
  REQUIRE(x.size() == 24 * columns);
  std::vector<typename F::block> out;
  for (std::size_t at = 0; at < x.size(); at += columns) {
    const auto row = rows::blocks_of<F>(
        {x.begin() + static_cast<std::ptrdiff_t>(at), x.begin() + static_cast<std::ptrdiff_t>(at + columns)},
        importance);
    out.insert(out.end(), row.begin(), row.end());
  }
  return out;
}

// F32 needs no golden file and Q8_K has none.
template <class F>
constexpr bool is_golden = !std::is_same_v<F, bq::f32> && !std::is_same_v<F, bq::q8_K>;

}  // namespace

TEST_CASE_TEMPLATE_DEFINE("quantised rows equal the golden bytes", F, golden_bytes) {
  if constexpr (is_golden<F>) {
    const auto expected = rows::golden<typename F::block>(std::string(F::name) + ".bin");
    REQUIRE(!expected.empty());
    CHECK(rows::same_bytes(quantized<F>(nullptr), expected));
  }
}
TEST_CASE_TEMPLATE_APPLY(golden_bytes, bq::all_formats);

TEST_CASE_TEMPLATE_DEFINE("importance gives the golden bytes, or changes nothing", F, golden_importance) {
  const auto importance = rows::golden<float>("importance.f32");
  REQUIRE(importance.size() == columns);
  const auto expected = rows::golden<typename F::block>(std::string(F::name) + ".importance.bin");
  REQUIRE(expected.empty() != bq::importance_format<F>);
  CHECK(rows::same_bytes(quantized<F>(importance.data()), expected.empty() ? quantized<F>(nullptr) : expected));
}
TEST_CASE_TEMPLATE_APPLY(golden_importance, bq::all_formats);

TEST_CASE_TEMPLATE_DEFINE("golden blocks decode to the golden floats, bit for bit", F, golden_decode) {
  if constexpr (is_golden<F> && !bq::activation_format<F>) {
    const auto blocks = rows::golden<typename F::block>(std::string(F::name) + ".bin");
    const auto expected = rows::golden<float>(std::string(F::name) + ".deq.f32");
    REQUIRE(!expected.empty());
    CHECK(rows::same_bytes(rows::decoded<F>(blocks), expected));
  }
}
TEST_CASE_TEMPLATE_APPLY(golden_decode, bq::all_formats);

TEST_CASE("F32 keeps every bit") {
  const auto x = rows::golden<float>("x.f32");
  const auto blocks = quantized<bq::f32>(nullptr);
  CHECK(rows::same_bytes(blocks, rows::golden<bq::f32::block>("x.f32")));
  CHECK(rows::same_bytes(rows::decoded<bq::f32>(blocks), x));
}

TEST_CASE("Q8_K: the largest magnitude has code -127, the others the nearest, and the sums are those of the codes") {
  const auto x = rows::golden<float>("x.f32");
  const auto blocks = quantized<bq::q8_K>(nullptr);
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    const float* in = x.data() + 256 * b;
    const float top = bq::extreme<bq::one_lane>(in, 256);
    for (int i = 0; i < 256; ++i) {
      const int code = blocks[b].q[i];
      if (in[i] == top && top != 0) CHECK(code == -127);
      CHECK(std::abs(static_cast<double>(in[i]) - static_cast<double>(blocks[b].d) * code) <=
            std::abs(static_cast<double>(blocks[b].d)) * 0.5001);
    }
    for (int g = 0; g < 16; ++g) {
      int sum = 0;
      for (int i = 0; i < 16; ++i) sum += blocks[b].q[16 * g + i];
      CHECK(blocks[b].sums[g] == sum);
    }
  }
}
