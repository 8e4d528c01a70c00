// The GPU's layout of weights, on the host: every byte of every format has one place in the tile and comes back from
// it, and the formats' own unpack code reads the tile as it reads the file's blocks.
#include "src/cuda/lane.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <random>
#include <vector>

#include "formats/registry.hpp"

namespace {

bool same(float a, float b) { return bq::f32_to_bits(a) == bq::f32_to_bits(b) || (a != a && b != b); }

// Every lane's words of every step, and every scale.
template <bq::coded_format F>
void check_unpacking(const unsigned char* packed, const typename F::block* blocks) {
  constexpr int tile_blocks = bq::cuda::tile<F>::blocks, block_steps = F::block_size / bq::cuda::step_cols;
  for (int row = 0; row < bq::cuda::tile_rows; ++row) {
    for (int b = 0; b < tile_blocks; ++b) {
      const bq::cuda::unit_source<F> in_tile(packed, row, b);
      const bq::block_source in_file(blocks + row * tile_blocks + b);
      for (int w = 0; w < F::block_size / 4; ++w) {
        const std::uint32_t expected = bq::signed_codes<F>(in_file, w);
        const int lane = 4 * (row % 8) + w % 4;
        bq::cuda::lane_words<F> words;
        words.load(packed, lane);
        const std::uint32_t codes = bq::cuda::lane_codes<F>(words, packed, lane, row / 8, b * block_steps + w / 4);
        for (int k = 0; k < 4; ++k) {
          constexpr int place[] = {0, 2, 1, 3};
          CHECK(static_cast<int>(codes >> 8 * place[k] & 255u) - bq::cuda::code_zero<F> ==
                bq::block_source::signed_byte(expected, k));
        }
      }
      for (int g = 0; g < F::block_size / F::group; ++g) {
        CHECK(same(bq::group_scale<F>(in_tile, g), bq::group_scale<F>(in_file, g)));
        CHECK(same(bq::group_min<F>(in_tile, g), bq::group_min<F>(in_file, g)));
      }
    }
  }
}

}  // namespace

TEST_CASE_TEMPLATE_DEFINE("a tile holds the blocks' bytes, and unpacks as they do", F, tile_of) {
  using tile = bq::cuda::tile<F>;
  CAPTURE(F::name);
  std::mt19937 random(30);
  std::vector<typename F::block> blocks(std::size_t{bq::cuda::tile_rows} * tile::blocks);
  auto* bytes = reinterpret_cast<unsigned char*>(blocks.data());
  for (std::size_t i = 0; i < blocks.size() * sizeof(blocks[0]); ++i) bytes[i] = static_cast<unsigned char>(random());

  std::vector<unsigned char> packed(tile::bytes);
  std::vector<int> writes(tile::bytes);
  std::vector<typename F::block> back(blocks.size());
  for (int row = 0; row < bq::cuda::tile_rows; ++row) {
    for (int b = 0; b < tile::blocks; ++b) {
      const std::size_t i = static_cast<std::size_t>(row) * tile::blocks + static_cast<std::size_t>(b);
      auto* from = reinterpret_cast<unsigned char*>(&blocks[i]);
      tile::for_each_unit(row, b, [&](int position, int at, int n) {
        REQUIRE(position >= 0);
        REQUIRE(position + n <= tile::bytes);
        CHECK(position % n == 0);
        std::memcpy(packed.data() + position, from + at, static_cast<std::size_t>(n));
        for (int k = 0; k < n; ++k) ++writes[static_cast<std::size_t>(position + k)];
      });
    }
  }
  CHECK(writes == std::vector<int>(tile::bytes, 1));
  for (int thread = 0; thread < 3; ++thread) tile::template exchange_bits<true>(packed.data(), thread, 3);
  if constexpr (bq::coded_format<F>) check_unpacking<F>(packed.data(), blocks.data());

  for (int thread = 0; thread < 3; ++thread) tile::template exchange_bits<false>(packed.data(), thread, 3);
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const int row = static_cast<int>(i) / tile::blocks, b = static_cast<int>(i) % tile::blocks;
    tile::for_each_unit(row, b, [&](int position, int at, int n) {
      std::memcpy(reinterpret_cast<unsigned char*>(&back[i]) + at, packed.data() + position,
                  static_cast<std::size_t>(n));
    });
  }
  CHECK(std::memcmp(back.data(), blocks.data(), blocks.size() * sizeof(blocks[0])) == 0);
}
TEST_CASE_TEMPLATE_APPLY(tile_of, bq::all_formats);
