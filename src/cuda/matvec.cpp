// The plan of a product of few tokens: the batch of partial sums that fits a part of the shared memory, and rings as
// long as the rest allows.
#include "matvec.hpp"

#include <algorithm>

namespace bq::cuda {

matvec_device current_matvec_device() {
  int device = 0, multiprocessors = 0, per_multiprocessor = 0, per_block = 0, reserved = 0, major = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  const auto ask = [&](int& value, cudaDeviceAttr what) {
    check(cudaDeviceGetAttribute(&value, what, device), "cudaDeviceGetAttribute");
  };
  ask(multiprocessors, cudaDevAttrMultiProcessorCount);
  ask(per_multiprocessor, cudaDevAttrMaxSharedMemoryPerMultiprocessor);
  ask(per_block, cudaDevAttrMaxSharedMemoryPerBlockOptin);
  ask(reserved, cudaDevAttrReservedSharedMemoryPerBlock);
  ask(major, cudaDevAttrComputeCapabilityMajor);
  const int half = per_multiprocessor / 2 - reserved;
  return {multiprocessors, major >= 9 ? std::min(per_block, half) : per_block};
}

matvec_plan plan_matvec(const matvec_shape& shape, const matvec_device& device) {
  constexpr int most_stages = 8;
  const int blocks = std::min(device.multiprocessors, shape.row_tiles);
  const int block_tiles = (shape.row_tiles + blocks - 1) / blocks;
  const int sums = shape.tokens * token_stride * static_cast<int>(sizeof(float));  // of a tile and section
  const int most_sums = std::max(1, device.shared_bytes / 3 / sums);

  matvec_plan plan{
      .blocks = blocks, .warps = shape.warps, .stages = 0, .batch_tiles = 0, .batch_sections = 0, .shared_bytes = 0};
  plan.batch_sections = std::clamp(most_sums / shape.tiles_at_once, 1, shape.sections);
  plan.batch_tiles =
      std::clamp(most_sums / plan.batch_sections / shape.tiles_at_once * shape.tiles_at_once, shape.tiles_at_once,
                 (block_tiles + shape.tiles_at_once - 1) / shape.tiles_at_once * shape.tiles_at_once);
  const int running = plan.batch_sections < shape.sections ? 1 : 0;
  const int batch = plan.batch_tiles * sums * (plan.batch_sections + running);
  for (; plan.warps > 0; --plan.warps) {
    const int left = device.shared_bytes - batch - plan.warps * shape.staged_bytes;
    const int stage = plan.warps * (shape.stage_bytes + static_cast<int>(sizeof(std::uint64_t)));
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
