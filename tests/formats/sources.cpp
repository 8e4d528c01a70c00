// Every format read through word sources with lanes gives what it gives one word at a time: the uses that SIMD dot
// products, panel packing and CUDA loaders make of the contract.
#include "sources.hpp"

#include <algorithm>

#include "rows.hpp"

TEST_CASE_TEMPLATE_DEFINE("eight consecutive words of a block at once", F, run_codes) {
  if constexpr (bq::coded_format<F>) {
    for (const auto& block : rows::random_blocks<F>(50, 1)) {
      const auto exact =
          std::make_unique<typename F::block>(block);  // on the heap, for the sanitizer to see over-reads
      const bq::block_source one(exact.get());
      const lanes::run_source run(exact.get());
      for (int w = 0; w < F::block_size / 4; w += lanes::run_source::lanes) {
        const lanes::words8 codes = F::codes(run, w), signed_ = bq::signed_codes<F>(run, w);
        for (int i = 0; i < lanes::run_source::lanes; ++i) {
          CHECK(codes.lane[std::size_t(i)] == F::codes(one, w + i));
          CHECK(signed_.lane[std::size_t(i)] == bq::signed_codes<F>(one, w + i));
        }
      }
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(run_codes, bq::all_formats);

TEST_CASE_TEMPLATE_DEFINE("sixteen interleaved rows: codes, scales and minimums of every row, and the bytes back", F,
                          panel) {
  if constexpr (bq::coded_format<F>) {
    auto blocks = rows::random_blocks<F>(lanes::panel_rows, 2);
    std::vector<unsigned char> bytes(lanes::panel_rows * sizeof(blocks[0]));
    lanes::interleave<F>(blocks.data(), bytes.data(), [](auto* from, auto* to, int n) { std::copy_n(from, n, to); });

    const lanes::panel_source all(bytes.data());
    const auto same = [](float a, float b) { return bq::f32_to_bits(a) == bq::f32_to_bits(b) || (a != a && b != b); };
    for (int row = 0; row < lanes::panel_rows; ++row) {
      const auto r = static_cast<std::size_t>(row);
      const bq::block_source one(&blocks[r]);
      for (int w = 0; w < F::block_size / 4; ++w) {
        CHECK(bq::signed_codes<F>(all, w).lane[r] == bq::signed_codes<F>(one, w));
      }
      for (int g = 0; g < F::block_size / F::group; ++g) {
        CHECK(same(bq::group_scale<F>(all, g).lane[r], bq::group_scale<F>(one, g)));
        if constexpr (bq::has_min<F>) CHECK(same(bq::group_min<F>(all, g).lane[r], bq::group_min<F>(one, g)));
      }
    }

    auto back = blocks;
    std::fill_n(reinterpret_cast<unsigned char*>(back.data()), bytes.size(), static_cast<unsigned char>(0));
    lanes::interleave<F>(back.data(), bytes.data(), [](auto* to, auto* from, int n) { std::copy_n(from, n, to); });
    CHECK(rows::same_bytes(back, blocks));
  }
}
TEST_CASE_TEMPLATE_APPLY(panel, bq::all_formats);
