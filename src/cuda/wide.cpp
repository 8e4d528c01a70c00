// When products of many tokens take the kernels made for Hopper, and how these divide their work.
#include "wide.hpp"

#include <algorithm>

#include "matvec.hpp"

namespace bq::cuda {

bool takes_wide(std::int64_t tokens) { return tokens > most_kernel_tokens && current_device_has_wgmma(); }

// Narrower tiles than the list's would cost as much as its narrowest: as measured, a consumer takes about 150 clocks
// for a step of 16 columns of 64 rows, even when the tensor cores need fewer; so these are for few tokens alone.
wide_division divide_wide(std::int64_t row_tiles, std::int64_t tokens, std::int64_t cols, int clusters,
                          std::span<const int, 2> widths) {
  constexpr std::int64_t cached_bytes = std::int64_t{16} << 20;  // of activations, beside weights and outputs
  const auto part = [&](std::int64_t strips, int width) {
    const std::int64_t tiles = ceil_div(tokens, width), fit = cached_bytes / (width * cols * 2);
    const std::int64_t blocks = ceil_div(tiles, std::max<std::int64_t>(1, fit));
    return wide_part{static_cast<int>(strips), static_cast<int>(tiles), width,
                     static_cast<int>(ceil_div(tiles, blocks))};
  };
  const std::int64_t strips = ceil_div(row_tiles, wide_strip_tiles);
  wide_division best{{}, -1};
  for (const int width : widths) {
    const std::int64_t tiles = ceil_div(tokens, width), rounds = ceil_div(strips * tiles, clusters);
    for (std::int64_t full = std::max<std::int64_t>(0, rounds - 3); full <= rounds; ++full) {
      const std::int64_t first = std::min(strips, full * clusters / tiles), before = ceil_div(first * tiles, clusters);
      for (const int narrow : widths) {
        if (narrow > width) continue;
        const std::int64_t all = ceil_div(first * tiles + (strips - first) * ceil_div(tokens, narrow), clusters);
        const std::int64_t cost = before * (width + wide_tile_cost) + (all - before) * (narrow + wide_tile_cost);
        if (best.cost >= 0 && cost >= best.cost) continue;
        best = {{part(first, width), part(strips - first, narrow)}, cost};
      }
    }
  }
  return best;
}

int wide_pairs(std::int64_t row_tiles, std::int64_t tokens, std::int64_t cols, int multiprocessors, int width) {
  // Multiprocessors come in groups, which larger clusters do not fill: how many an H200 has room for, as measured.
  constexpr int measured = 132;
  constexpr std::int64_t room[most_wide_pairs] = {66, 30, 17, 15};
  const std::int64_t tiles = ceil_div(row_tiles, wide_strip_tiles) * ceil_div(tokens, width);
  const std::int64_t sections = ceil_div(cols, section_cols);
  const std::int64_t section = 6, hand_over = 1;  // microseconds, as measured for 128 tokens
  int best = 1;
  std::int64_t least = -1;
  for (int pairs = 1; pairs <= most_wide_pairs; ++pairs) {
    const std::int64_t clusters = std::max<std::int64_t>(1, room[pairs - 1] * multiprocessors / measured);
    const std::int64_t round = section + (pairs > 1 ? pairs * hand_over : 0);
    const std::int64_t time = ceil_div(tiles, clusters) * ceil_div(sections, pairs) * round;
    if (least >= 0 && time >= least) continue;
    least = time;
    best = pairs;
  }
  return best;
}

}  // namespace bq::cuda
