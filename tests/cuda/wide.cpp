// Products of many tokens on the GPU, for every format, at shapes around the tiles of src/cuda/wide.cuh: they agree
// with f64, and every token has the bits that it has in a batch of at most 64 and in repeated runs.
#include "src/cuda/wide.hpp"
#include "oracle.hpp"

TEST_CASE_TEMPLATE_DEFINE("many tokens at once have the bits of few at a time", F, many_of) {
  if constexpr (!bq::activation_format<F>) {
    if (bq::cuda::device_count() == 0) return;
    CAPTURE(F::name);
    constexpr std::int64_t block = F::block_size, few = 64;
    struct shape {
      std::int64_t rows, cols, tokens, checked_step;
    };
    bq::cuda::transfer mover;
    for (const shape& s :
         {shape{1, block, 65, 1}, shape{33, 3 * 256, 127, 1}, shape{100, 1024 + block, 128, 3},
          shape{257, 2560 / block * block, 200, 17}, shape{40, 37 * 256, 70, 9}, shape{8465, 256, 529, 300}}) {
      CAPTURE(s.rows);
      CAPTURE(s.tokens);
      const auto w = oracle::make_weights<F>(s.rows, s.cols, static_cast<unsigned>(s.tokens));
      const bq::cuda::device_matrix on_device = mover.upload({F::id, s.rows, s.cols, w.blocks});
      const auto x = oracle::make_activations(s.tokens, s.cols);
      const device::array device_x(x);
      const std::vector<float> y = oracle::product(on_device, device_x, 0, s.tokens);
      oracle::check_against_f64(w, x, y, s.checked_step);
      CHECK(device::same_bits(oracle::product(on_device, device_x, 0, s.tokens), y));
      for (std::int64_t first = 0; first < s.tokens; first += few) {
        const std::int64_t tokens = std::min(few, s.tokens - first);
        const auto from = y.begin() + first * s.rows;
        CHECK(device::same_bits(oracle::product(on_device, device_x, first, tokens),
                                std::vector<float>(from, from + tokens * s.rows)));
      }
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(many_of, bq::all_formats);

TEST_CASE("pairs of blocks share a tile where there are few tiles and many sections") {
  constexpr int width = bq::cuda::wide_split_width<176>;
  const auto pairs = [](std::int64_t row_tiles, std::int64_t tokens, std::int64_t cols) {
    return bq::cuda::wide_pairs(row_tiles, tokens, cols, 132, width);
  };
  CHECK(pairs(256, 128, 1024) == 1);   // nothing to share
  CHECK(pairs(240, 128, 14336) == 4);  // 15 tiles
  CHECK(pairs(256, 128, 14336) == 3);  // 16: four would need two rounds
  CHECK(pairs(288, 128, 14336) == 2);
  CHECK(pairs(480, 128, 14336) == 2);
  CHECK(pairs(496, 128, 14336) == 1);
  CHECK(pairs(896, 128, 4096) == 1);
  CHECK(pairs(256, 4096, 14336) == 1);
}

TEST_CASE("the division of a product of many tokens covers it, and ends no later than tiles of one width") {
  constexpr int clusters = 66;
  for (const std::int64_t row_tiles : {1, 16, 17, 256, 896, 8016}) {
    for (const std::int64_t tokens : {17, 33, 64, 65, 127, 128, 177, 512, 1000, 4096, 100000}) {
      for (const auto& widths : {bq::cuda::wide_widths<32>(), bq::cuda::wide_widths<64>(), bq::cuda::wide_widths<176>(),
                                 bq::cuda::wide_widths<256>()}) {
        CAPTURE(row_tiles);
        CAPTURE(tokens);
        CAPTURE(widths[0]);
        const auto strips = bq::cuda::ceil_div(row_tiles, bq::cuda::wide_strip_tiles);
        const auto division = bq::cuda::divide_wide(row_tiles, tokens, 4096, clusters, widths);
        std::int64_t covered = 0, rounds = 0, all = 0, cost = 0;
        for (const bq::cuda::wide_part& p : division.parts) {
          covered += p.strips;
          if (p.strips == 0) continue;
          CHECK(p.tiles == bq::cuda::ceil_div(tokens, p.width));
          CHECK((p.block >= 1 && p.block <= p.tiles));
          all += std::int64_t{p.strips} * p.tiles;
          const auto until = bq::cuda::ceil_div(all, clusters);
          cost += (until - rounds) * (p.width + bq::cuda::wide_tile_cost);
          rounds = until;
        }
        CHECK(covered == strips);
        CHECK(cost == division.cost);
        for (const int width : widths) {
          const auto tiles = strips * bq::cuda::ceil_div(tokens, width);
          CHECK(cost <= bq::cuda::ceil_div(tiles, clusters) * (width + bq::cuda::wide_tile_cost));
        }
      }
    }
  }
}
