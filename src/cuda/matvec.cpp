// The plan of a product of few tokens: the batch of partial sums that fits a part of the shared memory, and rings as
// long as the rest allows.
#include "matvec.hpp"

#include <algorithm>

namespace bq::cuda {

matvec_plan plan_matvec(const matvec_shape& shape, const product_device& device) {
  constexpr int most_stages = 8;
  const int places = device.multiprocessors * shape.places;
  int blocks = is_tall(shape.row_tiles, places) ? places : std::min(device.multiprocessors, shape.row_tiles);
  int block_tiles = (shape.row_tiles + blocks - 1) / blocks;
  // Of few tokens, the last blocks get no rows (matvec.cuh). Where there are too few such blocks, all places are taken:
  // then none comes beside another.
  const bool spares = shape.tokens <= prepared::most_row_tokens;
  if (spares && block_tiles >= 4 && (blocks - prepared::most_row_tokens) * block_tiles < shape.row_tiles) {
    blocks = places;
    block_tiles = (shape.row_tiles + blocks - 1) / blocks;
  }
  const int sums = shape.tokens * token_stride * static_cast<int>(sizeof(float));  // of a tile and section
  const int most_sums = std::max(1, device.shared_bytes / 3 / sums);

  matvec_plan plan{.blocks = blocks,
                   .warps = shape.warps,
                   .least_tiles = spares ? block_tiles : shape.row_tiles / blocks,
                   .longer_blocks = spares ? 0 : shape.row_tiles % blocks,
                   .stages = 0,
                   .batch_tiles = 0,
                   .batch_sections = 0,
                   .shared_bytes = 0};
  plan.batch_sections = std::clamp(most_sums, 1, shape.sections);
  plan.batch_tiles = std::clamp(most_sums / plan.batch_sections, 1, block_tiles);
  const int running = plan.batch_sections < shape.sections ? 1 : 0;
  const int batch =
      plan.batch_tiles * sums * (plan.batch_sections + running) + most_kernel_tokens * static_cast<int>(sizeof(float));
  for (; plan.warps > 0; --plan.warps) {
    const int left = device.shared_bytes - batch - plan.warps * shape.staged_bytes;
    const int stage = plan.warps * shape.stage_bytes;
    plan.stages = std::min(most_stages, left / stage);
    if (plan.stages < 1 || (plan.stages < 2 && plan.warps > 2)) continue;
    plan.shared_bytes = batch + plan.warps * shape.staged_bytes + plan.stages * stage;
    return plan;
  }
  throw error({.code = errc::device,
               .message = "the GPU has too little shared memory for a product",
               .found = std::to_string(device.shared_bytes) + " bytes for a thread block"});
}

}  // namespace bq::cuda
