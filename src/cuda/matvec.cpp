// The plan of a product of few tokens: the batch of partial sums that fits a part of the shared memory, and as many
// warps as the rest allows.
#include "matvec.hpp"

#include <algorithm>

namespace bq::cuda {

static int parts(int whole, int part) { return (whole + part - 1) / part; }

matvec_plan plan_matvec(const matvec_shape& shape, const product_device& device) {
  const int block_tiles = parts(shape.row_tiles, device.multiprocessors);
  // As few blocks as ranges of this length allow.
  const int blocks = shape.tokens <= most_prepared_beside ? parts(shape.row_tiles, block_tiles)
                                                          : std::min(device.multiprocessors, shape.row_tiles);
  const int sums = shape.tokens * token_stride * static_cast<int>(sizeof(float));  // of a tile and section
  const int most_sums = std::max(1, device.shared_bytes / 3 / sums);

  matvec_plan plan{.blocks = blocks,
                   .warps = matvec_warps,
                   .least_tiles = shape.row_tiles / blocks,
                   .longer_blocks = shape.row_tiles % blocks,
                   .sections = parts(shape.col_tiles, section_tiles),
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
    if (plan.shared_bytes > device.shared_bytes) continue;
    // Warps with equal shares read all of the activations at a time, which should fit the first-level cache.
    constexpr int most_activations = 8 << 10;
    const int share = parts(plan.batch_tiles * shape.col_tiles, plan.warps);
    if (shape.tokens * shape.col_tiles * tile_cols <= most_activations && plan.batch_sections == plan.sections &&
        share > section_tiles) {
      plan.share = share;
    }
    return plan;
  }
  throw error({.code = errc::device,
               .message = "the GPU has too little shared memory for a product",
               .found = std::to_string(device.shared_bytes) + " bytes for a thread block"});
}

}  // namespace bq::cuda
