// Products of the fast tier (fast.hpp) on Hopper. Persistent thread blocks in clusters of two; a block's tile is 64
// rows times `Units` of each of its two consumer warpgroups x 128 tokens. Where Units is 2, both blocks of a cluster
// have the same rows and tokens that follow one another; where it is 1, which divides small products better, the same
// tokens and rows that follow one another. Of what is the same each block loads one half, and sends it to both.
//
// A producer warpgroup keeps a ring of chunks of 128 columns full: one warp brings weights, one activations, each with
// the scales of a slice of 256 columns beside its first chunk. Consumers take turns at the tensor cores: while one's
// sums run, the other adds those of its slice, times the scales, to its totals.
#include "arch.cuh"
#include "fast.hpp"
#include "hopper.cuh"
#include "launch.hpp"

namespace bq::cuda {

namespace {

constexpr int cluster_blocks = 2, consumers = 2, unit_rows = 64, tile_tokens = 128, threads = 128 * (consumers + 1);

template <int Units>
struct fast_plan {
  static constexpr bool same_rows = Units == 2;  // in both blocks of the cluster; else the same tokens
  static constexpr int rows = consumers * Units * unit_rows;
  static constexpr int strip_rows = same_rows ? rows : cluster_blocks * rows;  // of a cluster
  static constexpr int strip_tokens = same_rows ? cluster_blocks * tile_tokens : tile_tokens;
  static constexpr int row_atoms = rows / byte_matrix::atom_lines;
  static constexpr int token_atoms = tile_tokens / byte_matrix::atom_lines;
  static constexpr int values_at = row_atoms * byte_matrix::atom_bytes;
  static constexpr int stage_bytes = values_at + token_atoms * byte_matrix::atom_bytes;
  static constexpr int stages = same_rows ? 4 : 6, slots = stages / 2 + 1;  // of chunks; of a slice's scales
  static constexpr int slot_bytes = (rows + tile_tokens) * static_cast<int>(sizeof(float));
  static constexpr int slots_at = stages * stage_bytes, barriers_at = slots_at + slots * slot_bytes;
  static constexpr int shared_bytes = 1024 + barriers_at + 8 * (2 * stages + slots);
  static_assert(shared_bytes <= 227 * 1024);
};

// One side of a product, as one warp's first lane brings it: chunks of `Atoms` atoms of lines into a stage's `at`, and
// the lines' scales into the slot's `scales_at`.
template <int Units, int Atoms, bool Shared>
__device__ __forceinline__ void bring(const byte_matrix& m, int line_atom, int at, int scales_at, std::uint32_t base,
                                      int rank, hopper::ring_place& stage, hopper::ring_place& slot) {
  using namespace hopper;
  using P = fast_plan<Units>;
  const std::uint32_t full = base + P::barriers_at, empty = full + 8 * P::stages, free = empty + 8 * P::stages;
  const int there = min(max(m.line_atoms() - line_atom, 0), Atoms);
  const int share = Shared ? (Atoms / cluster_blocks) : Atoms, first = Shared ? rank * share : 0;
  const int mine = min(max(there - first, 0), share) * byte_matrix::atom_bytes;
  const int scale_bytes = there * byte_matrix::atom_lines * static_cast<int>(sizeof(float));
  for (int chunk = 0; chunk < m.slices * byte_matrix::slice_atoms; ++chunk) {
    const bool brings_scales = chunk % byte_matrix::slice_atoms == 0;
    barrier_wait(empty + 8 * stage.at, stage.parity);
    if (brings_scales) barrier_wait(free + 8 * slot.at, slot.parity);
    const std::uint32_t done = full + 8 * stage.at;
    barrier_expect(done, there * byte_matrix::atom_bytes + (brings_scales ? scale_bytes : 0));
    if (mine > 0) {
      const std::uint32_t to = base + stage.at * P::stage_bytes + at + first * byte_matrix::atom_bytes;
      const unsigned char* from = m.atom(chunk, line_atom + first);
      if (Shared) {
        bulk_copy_to_all(to, from, mine, done, (1 << cluster_blocks) - 1);
      } else {
        bulk_copy(to, from, mine, done);
      }
    }
    if (brings_scales) {
      const float* from = m.scale(chunk / byte_matrix::slice_atoms, line_atom * byte_matrix::atom_lines);
      if (there > 0) bulk_copy(base + P::slots_at + slot.at * P::slot_bytes + scales_at, from, scale_bytes, done);
      slot.next(P::slots);
    }
    stage.next(P::stages);
  }
}

template <int Units>
__device__ __forceinline__ void fast_block(const fast_call& c) {
  using namespace hopper;
  using P = fast_plan<Units>;
  launch_dependents();
  extern __shared__ unsigned char raw[];
  const std::uint32_t base = (shared_address(raw) + 1023) / 1024 * 1024;
  const unsigned char* shared = raw + (base - shared_address(raw));
  const std::uint32_t full = base + P::barriers_at, empty = full + 8 * P::stages, free = empty + 8 * P::stages;
  const int warp = __shfl_sync(~0u, threadIdx.x / 32, 0);  // the same in all lanes, for the compiler too
  const int lane = threadIdx.x % 32, group = warp / 4;
  const int rank = static_cast<int>(cluster_rank());
  if (threadIdx.x == 0) {
    for (int i = 0; i < P::stages; ++i) {
      barrier_init(full + 8 * i, 2);
      barrier_init(empty + 8 * i, 4 * consumers * cluster_blocks);
    }
    for (int i = 0; i < P::slots; ++i) barrier_init(free + 8 * i, 4 * consumers);
    barriers_ready();
  }
  cluster_sync();

  const int count = c.strips * c.token_tiles, clusters = gridDim.x / cluster_blocks;
  const int first = blockIdx.x / cluster_blocks;
  const auto first_row = [&](const fast_tile& t) {
    return t.strip * P::strip_rows + (P::same_rows ? 0 : rank * P::rows);
  };
  const auto first_token = [&](const fast_tile& t) {
    return t.token_tile * P::strip_tokens + (P::same_rows ? rank * tile_tokens : 0);
  };

  if (group == consumers) {
    give_registers<40>();
    ring_place stage{0, 1}, slot{0, 1};
    if (warp % 4 == 0 && lane == 0) {
      for (int t = first; t < count; t += clusters) {
        bring<Units, P::row_atoms, P::same_rows>(c.w, first_row(fast_tile(c, t)) / byte_matrix::atom_lines, 0, 0, base,
                                                 rank, stage, slot);
      }
    } else if (warp % 4 == 1 && lane == 0) {
      wait_for_predecessors();
      for (int t = first; t < count; t += clusters) {
        bring<Units, P::token_atoms, !P::same_rows>(c.x, first_token(fast_tile(c, t)) / byte_matrix::atom_lines,
                                                    P::values_at, P::rows * static_cast<int>(sizeof(float)), base, rank,
                                                    stage, slot);
      }
    }
  } else {
    take_registers<232>();
    wait_for_predecessors();
    const int row_in_tile = group * Units * unit_rows + warp % 4 * 16 + lane / 4, quad = lane % 4 * 2;
    ring_place stage, slot;
    int left = first < count ? (count - first + clusters - 1) / clusters * c.w.slices : 0;
    int work[64];
    float total[Units][64];
    if (group == 1 && left > 0) arrive_for_others(1);
    for (int t = first; t < count; t += clusters) {
#pragma unroll
      for (int u = 0; u < Units; ++u) {
#pragma unroll
        for (int i = 0; i < 64; ++i) total[u][i] = 0;
      }
      for (int slice = 0; slice < c.w.slices; ++slice) {
        const auto* scales = reinterpret_cast<const float*>(shared + P::slots_at + slot.at * P::slot_bytes);
        const ring_place before = stage;
        --left;
#pragma unroll
        for (int u = 0; u < Units; ++u) {
          stage = before;
          int of_chunk[byte_matrix::slice_atoms];
          wait_for_others(1 + group);  // barrier 1 + i is consumer i's turn
#pragma unroll
          for (int chunk = 0; chunk < byte_matrix::slice_atoms; ++chunk) {
            if (u == 0) barrier_wait(full + 8 * stage.at, stage.parity);
            const std::uint32_t at = base + stage.at * P::stage_bytes;
            const std::uint64_t a = operand(at + (group * Units + u) * (unit_rows * byte_matrix::atom_cols));
            const std::uint64_t b = operand(at + P::values_at);
            products_begin();
#pragma unroll
            for (int k = 0; k < 4; ++k) byte_product(work, a + 2 * k, b + 2 * k, chunk + k > 0);
            products_commit();
            of_chunk[chunk] = stage.at;
            stage.next(P::stages);
          }
          if (group == 0 || left > 0 || u < Units - 1) arrive_for_others(2 - group);
          const bool last = u == Units - 1;
          products_wait<1>();
          if (last && lane < cluster_blocks) barrier_arrive_at(empty + 8 * of_chunk[0], lane);
          products_wait<0>();
          if (last && lane < cluster_blocks) barrier_arrive_at(empty + 8 * of_chunk[1], lane);
          hold<64>(work);
          const float w[2] = {scales[row_in_tile + u * unit_rows], scales[row_in_tile + u * unit_rows + 8]};
#pragma unroll
          for (int j = 0; j < 16; ++j) {
            const float2 x = *reinterpret_cast<const float2*>(scales + P::rows + 8 * j + quad);
#pragma unroll
            for (int k = 0; k < 4; ++k) {
              const int i = 4 * j + k;
              total[u][i] = fmaf(__int2float_rn(work[i]), w[k / 2] * (k % 2 ? x.y : x.x), total[u][i]);
            }
          }
        }
        __syncwarp();
        if (lane == 0) barrier_arrive(free + 8 * slot.at);
        slot.next(P::slots);
      }
      const fast_tile tile(c, t);
      const int row = first_row(tile) + row_in_tile, token = first_token(tile) + quad;
      float* to = c.y + std::int64_t{token} * c.w.lines + row;
#pragma unroll
      for (int j = 0; j < 32; ++j) {
        if (token + j / 2 * 8 + j % 2 < c.x.lines) {
#pragma unroll
          for (int k = 0; k < 2 * Units; ++k) {
            const int at = k / 2 * unit_rows + k % 2 * 8;
            if (row + at < c.w.lines) __stcs(to + at, total[k / 2][j / 2 * 4 + k % 2 * 2 + j % 2]);
          }
        }
        to += std::int64_t{j % 2 == 0 ? 1 : 7} * c.w.lines;
      }
    }
  }
  cluster_sync();
}

template <int Units>
__global__ void __launch_bounds__(threads, 1) fast_wgmma(const __grid_constant__ fast_call c) {
  [&]<bool There>(std::bool_constant<There>) {
    if constexpr (There) fast_block<Units>(c);
  }(std::bool_constant<hopper::present>{});
}

template <int Units>
fast_call divided(const byte_matrix& w, const byte_matrix& x, float* y) {
  using P = fast_plan<Units>;
  constexpr std::int64_t cached_bytes = std::int64_t{16} << 20;  // of activations, beside weights and outputs
  const auto strips = static_cast<int>(ceil_div(w.lines, P::strip_rows));
  const auto tiles = static_cast<int>(ceil_div(x.lines, P::strip_tokens));
  const std::int64_t fit = cached_bytes / (std::int64_t{P::strip_tokens} * w.slices * byte_matrix::slice_cols);
  const std::int64_t blocks = ceil_div(tiles, std::max<std::int64_t>(1, fit));
  return {w, x, y, strips, tiles, static_cast<int>(ceil_div(tiles, blocks))};
}

template <int Units>
void start(const fast_call& call, int clusters, stream s) {
  using P = fast_plan<Units>;
  const auto kernel = fast_wgmma<Units>;
  const std::initializer_list<std::int64_t> sizes{call.w.lines, call.w.slices * byte_matrix::slice_cols, call.x.lines};
  launch_clusters(cluster_blocks, true, kernel, cluster_blocks * std::min(clusters, call.strips * call.token_tiles),
                  threads, P::shared_bytes, s, "fast product", sizes, call);
}

}  // namespace

void launch_fast_hopper(const device_matrix::contents& w, const byte_matrix& x, float* y, stream s) {
  const int clusters = std::max(1, w.device.multiprocessors / cluster_blocks);
  const fast_call large = divided<2>(w.as_bytes(), x, y), small = divided<1>(w.as_bytes(), x, y);
  // A small tile costs more than half of a large one, as it brings half as many rows for the same tokens.
  const auto rounds = [&](const fast_call& c) { return ceil_div(c.strips * c.token_tiles, clusters); };
  if (10 * rounds(large) <= 6 * rounds(small)) return start<2>(large, clusters, s);
  start<1>(small, clusters, s);
}

}  // namespace bq::cuda
