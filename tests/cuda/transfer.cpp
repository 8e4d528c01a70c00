// Weights go to the GPU and come back as the same bytes, for every type and odd shapes, by one thread and several.
#include <random>
#include <string>

#include "blockquant/types.hpp"
#include "device.hpp"

namespace {

std::vector<std::byte> random_blocks(const bq::type_info& t, std::int64_t rows, std::int64_t cols) {
  std::vector<std::byte> blocks(static_cast<std::size_t>(rows) * bq::row_bytes(t.id, cols));
  std::mt19937 random(static_cast<unsigned>(rows * cols));
  for (std::byte& b : blocks) b = static_cast<std::byte>(random());
  return blocks;
}

}  // namespace

TEST_CASE("every type's blocks come back from the device as they were") {
  if (device::missing()) return;
  bq::thread_pool threads(2);
  bq::cuda::transfer alone, together(&threads);
  for (const bq::type_info& t : bq::types()) {
    if (t.activation_only) continue;
    CAPTURE(std::string(t.name));
    for (const std::int64_t rows : {1, 16, 17, 331}) {
      for (const std::int64_t row_blocks : {1, 3, 11}) {
        const std::int64_t cols = row_blocks * t.block_size;
        const auto blocks = random_blocks(t, rows, cols);
        std::vector<std::byte> back(blocks.size());
        const bq::cuda::device_matrix w = alone.upload({t.id, rows, cols, blocks});
        CHECK(w.id() == t.id);
        CHECK(w.rows() == rows);
        CHECK(w.cols() == cols);
        CHECK(w.bytes() >= blocks.size());
        together.download(w, back);
        CHECK(back == blocks);
      }
    }
  }
}

TEST_CASE("matrices larger than the buffers go through them in chunks") {
  if (device::missing()) return;
  bq::thread_pool threads(4);
  bq::cuda::transfer mover(&threads);
  const bq::type_info& t = bq::info(bq::type::q5_0);
  const std::int64_t rows = 30011, cols = 2048;
  const auto blocks = random_blocks(t, rows, cols);
  std::vector<std::byte> back(blocks.size());
  mover.download(mover.upload({t.id, rows, cols, blocks}), back);
  CHECK(back == blocks);
}

TEST_CASE("what cannot be uploaded is refused") {
  if (device::missing()) return;
  bq::cuda::transfer mover;
  const auto code = [&](const bq::matrix& w) {
    try {
      mover.upload(w);
    } catch (const bq::error& e) {
      return e.code();
    }
    return bq::errc::io;
  };
  const std::vector<std::byte> bytes(4096);
  const std::span<const std::byte> all(bytes);
  CHECK(code({bq::type::q8_1, 1, 32, all.first(36)}) == bq::errc::unsupported_type);
  CHECK(code({bq::type::q8_0, 1, 33, all.first(34)}) == bq::errc::bad_shape);
  CHECK(code({bq::type::q8_0, 2, 32, all.first(34)}) == bq::errc::bad_shape);
  CHECK(code({bq::type::q8_0, 0, 32, {}}) == bq::errc::bad_shape);
  CHECK(code({static_cast<bq::type>(4711), 1, 32, all.first(34)}) == bq::errc::unknown_type);
}
