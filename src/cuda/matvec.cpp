// The plan of a product of few tokens: the batch of partial sums that fits a part of the shared memory, and as many
// warps as the rest allows.
#include "matvec.hpp"

#include <algorithm>

namespace bq::cuda {

matvec_plan plan_matvec(const matvec_shape& shape, const product_device& device) {
  const int places = device.multiprocessors * shape.places;
  const int shared_bytes = shape.places > 1 ? device.half_shared_bytes : device.shared_bytes;
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
  const int most_sums = std::max(1, shared_bytes / 3 / sums);

  matvec_plan plan{.blocks = blocks,
                   .warps = shape.warps,
                   .least_tiles = spares ? block_tiles : shape.row_tiles / blocks,
                   .longer_blocks = spares ? 0 : shape.row_tiles % blocks,
                   .sections = (shape.col_tiles + section_tiles - 1) / section_tiles,
                   .batch_tiles = 0,
                   .batch_sections = 0,
                   .share = 0,
                   .shared_bytes = 0};
  for (; plan.warps > 0; --plan.warps) {
    const int most_units = std::min(most_sums, (matvec_notes::most_runs - 2) * plan.warps);
    plan.batch_sections = std::clamp(most_units, 1, plan.sections);
    plan.batch_tiles = std::clamp(most_units / plan.batch_sections, 1, block_tiles);
    const int running = plan.batch_sections < plan.sections ? 1 : 0;
    const int batch = plan.batch_tiles * sums * (plan.batch_sections + running) +
                      most_kernel_tokens * static_cast<int>(sizeof(float));
    plan.shared_bytes = batch + plan.warps * (shape.warp_bytes + static_cast<int>(sizeof(matvec_notes)));
    if (plan.shared_bytes > shared_bytes) continue;
    // Warps with equal shares read all of the activations at a time, which should fit the first-level cache.
    constexpr int most_activations = 16 << 10;
    const int share = (plan.batch_tiles * shape.col_tiles + plan.warps - 1) / plan.warps;
    if (shape.tokens * shape.col_tiles * tile_cols <= most_activations && plan.batch_sections == plan.sections &&
        share > section_tiles) {
      plan.share = share;
    }
    return plan;
  }
  throw error({.code = errc::device,
               .message = "the GPU has too little shared memory for a product",
               .found = std::to_string(shared_bytes) + " bytes for a thread block"});
}

}  // namespace bq::cuda
