// y[tokens, rows] = x[tokens, cols] * w[rows, cols]^T for more than 16 tokens on Hopper: weights stay packed up to the
// registers, where consumer warpgroups make them the A operand of wgmma; activations are its B operand, in shared
// memory. Numerics: fragment.cuh. wgmma and mma.sync gave the same bits on every one of 8e6 random sums of 256 products
// (exponents near and far, f16 subnormals included), for 8 tokens at a time and for 128; so a token's outputs are those
// of matvec.cuh, bit for bit.
//
// Persistent thread blocks, in clusters of two, take tiles (wide.hpp), each block 128 of the rows: consumer warpgroup i
// has the i-th 64, and keeps the sums of a section beside those of the sections before (of tiles of 256 tokens, some
// of these in shared memory: wider tiles unpack weights less often). A producer warpgroup feeds them: one warp brings
// weights (bulk copies into a ring of slices of 256 columns for each consumer), two stage their scales, one brings
// activations: stages of 64 or 128 columns x the tile's tokens, of which each block of the cluster loads one half and
// sends it to both. While the tensor cores work on a batch of steps, a consumer unpacks the next. The two consumers of
// a block read the same activations, each at its own pace within the ring.
//
// Several pairs of blocks may share a tile (wide.hpp): then a cluster is all of them, a consumer's sums meet those of
// the sections before in shared memory, where the pair before has left them, and go on to the next pair's.
#pragma once
#include <algorithm>

#include "fragment.cuh"
#include "hopper.cuh"
#include "launch.hpp"
#include "row_factor.hpp"
#include "wide.hpp"

namespace bq::cuda {

template <any_format F, int Most>
struct wide_plan {
  static constexpr std::array widths = wide_widths<Most>();
  static constexpr bool narrow = is_narrow<Most>;
  static constexpr int batch = narrow ? 4 : 2;                         // steps that are unpacked at a time
  static constexpr int chunks = 4, chunk_steps = tile_steps / chunks;  // of a tile, 64 columns each
  static constexpr int parts = float_format<F> ? chunks : 1;           // pieces in which a tile arrives
  static constexpr int part_bytes = tile<F>::bytes / parts, item_bytes = 4 * part_bytes;
  static constexpr int staged_bytes = fragments<F>::staged_bytes, item_staged_bytes = 4 * staged_bytes;
  static constexpr int stage_chunks = narrow && parts == 1 ? 2 : 1, stage_steps = stage_chunks * chunk_steps;
  static constexpr int chunk_bytes = Most * 128, stage_bytes = stage_chunks * chunk_bytes;
  static constexpr int groups = wide_groups, threads = 128 * (groups + 1);
  // A consumer's thread has Tokens / 2 sums of a section, and as many of all sections before: `kept` of these stay in
  // registers, the others in shared memory.
  template <int Tokens>
  static constexpr int kept = Tokens > 176 ? 180 - Tokens / 2 : Tokens / 2;
  static constexpr int most_kept = std::max(kept<widths[0]>, kept<widths[1]>);
  static constexpr int totals_bytes = (Most / 2 - kept<Most>)*128 * 4;
  static constexpr int left = 226 * 1024 - 512 - groups * totals_bytes, least_stages = totals_bytes > 0 ? 3 : 5;
  static constexpr int items = [] {
    const int fit = (left - least_stages * stage_bytes) / (groups * (item_bytes + item_staged_bytes));
    return fit > 4 ? 4 : fit;
  }();
  static constexpr int stages = [] {
    const int fit = (left - groups * items * (item_bytes + item_staged_bytes)) / stage_bytes;
    return fit > 8 ? 8 : fit;
  }();
  static constexpr bool fits = items >= 2 && stages >= (totals_bytes > 0 ? 3 : 4);
  static constexpr int totals_at = stages * stage_bytes, items_at = totals_at + groups * totals_bytes;
  // Where pairs share tiles, shorter stages leave room for the sums that are handed over.
  static constexpr int split_stage_bytes = stage_chunks * wide_split_width<Most> * 128;
  static constexpr int sums_bytes = wide_split_width<Most> / 2 * 128 * 4;  // of a consumer
  static constexpr int sums_at = items_at - groups * sums_bytes, split_stages = sums_at / split_stage_bytes;
  static constexpr bool splits =
      totals_bytes == 0 && split_stages >= (stage_chunks > 1 ? 3 : 4);  // with less, products wait for activations
  static constexpr int staged_at = items_at + groups * items * item_bytes;
  static constexpr int barriers_at = staged_at + groups * items * item_staged_bytes;
  static constexpr int shared_bytes = 1024 + barriers_at + 8 * (2 * stages + 3 * groups * items + groups);
};

// From shared memory, in the place where it is written: compilers would load each value right before its use.
__device__ __forceinline__ float4 load_here(const float4* from) {
  float4 v;
  asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w)
               : "r"(hopper::shared_address(from)));
  return v;
}

// visit(std::integral_constant<int, i>) for i below Count.
template <int Count, class Visit>
__device__ __forceinline__ void for_each_batch(Visit visit) {
  [&]<int... I>(std::integer_sequence<int, I...>) { (visit(std::integral_constant<int, I>{}), ...); }
  (std::make_integer_sequence<int, Count>{});
}

// Tile t of all: its first tile of 16 rows and its first token.
struct wide_tile {
  int row_tile, token, width;

  __device__ __forceinline__ wide_tile(const wide_call& c, int t) {
    const int before = c.parts[0].strips * c.parts[0].tiles;
    const bool late = t >= before;
    const wide_part& part = c.parts[late];
    const int i = t - (late ? before : 0), per_block = part.strips * part.block, block = i / per_block * part.block;
    const int tiles = min(part.block, part.tiles - block), in_block = i % per_block;
    row_tile = (in_block / tiles + (late ? c.parts[0].strips : 0)) * wide_strip_tiles;
    token = (block + in_block % tiles) * part.width;
    width = part.width;
  }
};

template <any_format F, int Most>
__device__ __forceinline__ void wide_block(const wide_call& c) {
  using namespace hopper;
  launch_dependents();
  using P = wide_plan<F, Most>;
  static_assert(P::fits);
  constexpr int Groups = P::groups, Batch = P::batch;
  static_assert(Groups == 2);  // as many as warps that stage scales
  extern __shared__ unsigned char raw[];
  const std::uint32_t base = (shared_address(raw) + 1023) / 1024 * 1024;
  unsigned char* shared = raw + (base - shared_address(raw));
  const std::uint32_t full_b = base + P::barriers_at, empty_b = full_b + 8 * P::stages;
  const std::uint32_t full_a = empty_b + 8 * P::stages, ready_a = full_a + 8 * Groups * P::items;
  const std::uint32_t empty_a = ready_a + 8 * Groups * P::items, full_sums = empty_a + 8 * Groups * P::items;
  const int warp = __shfl_sync(~0u, threadIdx.x / 32, 0);  // the same in all lanes, for the compiler too
  const int lane = threadIdx.x % 32, group = warp / 4;
  const int pairs = P::splits ? c.pairs : 1, block = static_cast<int>(cluster_rank());
  const int pair = block / wide_cluster, rank = block % wide_cluster, pair_first = block - rank;
  const int stages = pairs > 1 ? P::split_stages : P::stages;
  const int stage_bytes = pairs > 1 ? P::split_stage_bytes : P::stage_bytes;
  const bool brings_weights = warp == 4 * Groups;
  if (brings_weights && lane == 0) {
    for (int i = 0; i < P::stages; ++i) {
      barrier_init(full_b + 8 * i, 1);
      barrier_init(empty_b + 8 * i, 4 * Groups * wide_cluster);
    }
    for (int i = 0; i < Groups * P::items; ++i) {
      barrier_init(full_a + 8 * i, 1);
      barrier_init(ready_a + 8 * i, 32);
      barrier_init(empty_a + 8 * i, 4);
    }
    for (int i = 0; i < Groups; ++i) barrier_init(full_sums + 8 * i, 128);
    barriers_ready();
  }
  __syncwarp();
  cluster_arrive();
  if (!brings_weights) cluster_wait();  // these come to this block alone, and take longest

  const int tokens = c.x.tokens;
  const int count = c.parts[0].strips * c.parts[0].tiles + c.parts[1].strips * c.parts[1].tiles;
  const int clusters = gridDim.x / (wide_cluster * pairs), first = blockIdx.x / (wide_cluster * pairs);
  // visit(first, last) for each section of this pair, in slices.
  const auto for_each_section = [&](auto visit) {
    for (int at = pair * section_tiles; at < c.col_tiles; at += pairs * section_tiles) {
      visit(at, min(at + section_tiles, c.col_tiles));
    }
  };
  int slices = 0;  // of this pair
  for_each_section([&](int begin, int end) { slices += end - begin; });
  const auto row_tile_of = [&](const wide_tile& t, int g) {
    return t.row_tile + (rank * Groups + g) * wide_group_tiles;
  };

  if (group == Groups) {
    give_registers<40>();
    const int role = warp % 4;
    if (role == 0) {  // weights: lane 4 g + i brings tile i of consumer group g
      const int g = lane / 4;
      if (g < Groups) {
        ring_place place{0, 1};
        const std::uint32_t ring = base + P::items_at + g * P::items * P::item_bytes + lane % 4 * P::part_bytes;
        for (int t = first; t < count; t += clusters) {
          const int at = row_tile_of(wide_tile(c, t), g), n = min(max(c.row_tiles - at, 0), 4);
          const unsigned char* row = c.tiles + std::int64_t{at + lane % 4} * c.col_tiles * tile<F>::bytes;
          for_each_section([&](int begin, int end) {
            const unsigned char* from = row + std::int64_t{begin} * tile<F>::bytes;
            for (int left = (end - begin) * P::parts; left > 0; --left) {
              const std::uint32_t i = g * P::items + place.at;
              barrier_wait(empty_a + 8 * i, place.parity);
              if (lane % 4 == 0) barrier_expect(full_a + 8 * i, n * P::part_bytes);
              __syncwarp((1u << 4 * Groups) - 1);
              if (lane % 4 < n) bulk_copy(ring + place.at * P::item_bytes, from, P::part_bytes, full_a + 8 * i);
              from += P::part_bytes;
              place.next(P::items);
            }
          });
        }
      }
      __syncwarp();
      cluster_wait();
    } else if (role == 1) {  // activations
      if (lane == 0) {
        wait_for_predecessors();
        const int groups8 = (tokens + 7) / 8;
        ring_place place{0, 1};
        for (int t = first; t < count; t += clusters) {
          const wide_tile tile(c, t);
          const int at = tile.token / 8, here = min(tile.width / 8, groups8 - at), half = (here + 1) / wide_cluster;
          const int mine = rank == 0 ? half : here - half;
          const unsigned char* column = c.x.values + std::int64_t{at + half * rank} * 1024;
          for_each_section([&](int begin, int end) {
            const unsigned char* from = column + std::int64_t{begin} * P::chunks * groups8 * 1024;
            for (int left = (end - begin) * (P::chunks / P::stage_chunks); left > 0; --left) {
              barrier_wait(empty_b + 8 * place.at, place.parity);
              barrier_expect(full_b + 8 * place.at, P::stage_chunks * here * 1024);
              std::uint32_t to = base + place.at * stage_bytes + rank * half * 1024;
#pragma unroll
              for (int i = 0; i < P::stage_chunks; ++i) {
                if (mine > 0) {
                  bulk_copy_to_all(to, from, mine * 1024, full_b + 8 * place.at,
                                   static_cast<std::uint16_t>(((1 << wide_cluster) - 1) << pair_first));
                }
                to += P::chunk_bytes;
                from += std::int64_t{groups8} * 1024;
              }
              place.next(stages);
            }
          });
        }
      }
    } else if (P::parts == 1) {  // scales
      const int g = role - 2;
      ring_place place;
      for (int t = first; t < count; t += clusters) {
        const int at = row_tile_of(wide_tile(c, t), g);
        float f[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          f[i] = at + i < c.row_tiles ? c.factors[(at + i) * tile_rows + lane % tile_rows] : 1.0f;
        }
        for (int left = slices; left > 0; --left) {
          const int i = g * P::items + place.at;
          barrier_wait(full_a + 8 * i, place.parity);
#pragma unroll
          for (int k = 0; k < 4; ++k) {
            fragments<F>::stage(shared + P::items_at + i * P::item_bytes + k * tile<F>::bytes, lane, f[k],
                                shared + P::staged_at + i * P::item_staged_bytes + k * P::staged_bytes);
          }
          barrier_arrive(ready_a + 8 * i);
          place.next(P::items);
        }
      }
    }
  } else {
    take_registers<232>();
    int left = first < count ? (count - first + clusters - 1) / clusters * slices : 0;
    const std::uint32_t my_ready = (P::parts == 1 ? ready_a : full_a) + 8 * group * P::items;
    const std::uint32_t my_empty = empty_a + 8 * group * P::items;
    const unsigned char* my_items = shared + P::items_at + group * P::items * P::item_bytes + warp % 4 * P::part_bytes;
    const unsigned char* my_staged =
        shared + P::staged_at + group * P::items * P::item_staged_bytes + warp % 4 * P::staged_bytes;
    ring_place item, stage;
    bool ready = false;  // whether the stage is known to be full
    int done = -1;       // the stage before, until it is given back
    std::uint32_t a[2][Batch][4];
    float work[Most / 2], total[P::most_kept], f[2] = {1, 1};

    // A operands of a batch of steps of the current slice.
    const auto unpack = [&]<int Step>(std::integral_constant<int, Step>) {
      constexpr int part_steps = tile_steps / P::parts;
      if (Step % part_steps == 0) barrier_wait(my_ready + 8 * item.at, item.parity);
      const unsigned char* bytes = my_items + item.at * P::item_bytes;
      if constexpr (P::parts > 1) bytes -= Step / P::chunk_steps * P::part_bytes;
      fragments<F> operand;  // the compiler leaves out what these steps do not read
      operand.open(bytes, my_staged + item.at * P::item_staged_bytes, lane, f[0], f[1]);
      [&]<int... I>(std::integer_sequence<int, I...>) {
        (operand.template load<Step + I>(a[Step / Batch % 2][I]), ...);
      }
      (std::make_integer_sequence<int, Batch>{});
      if constexpr ((Step + Batch) % part_steps == 0) {
        __syncwarp();
        if (lane == 0) barrier_arrive(my_empty + 8 * item.at);
        item.next(P::items);
      }
    };
    const auto first_row_of = [&](const wide_tile& t) { return (row_tile_of(t, group) + warp % 4) * tile_rows; };
    const auto take_factors = [&](int t) {
      const int row = first_row_of(wide_tile(c, t)) + lane / 4;
      const bool there = row < c.row_tiles * tile_rows;
      f[0] = there ? c.factors[row] : 1.0f;
      f[1] = there ? c.factors[row + 8] : 1.0f;
    };
    // Adds this section's sums to those of the sections before, which the pair before has left here; and hands them on.
    const std::uint32_t my_sums = base + P::sums_at + group * P::sums_bytes + threadIdx.x % 128 * 16;
    std::uint32_t sums_parity = 0;
    const auto hand_over = [&]<int Tokens>(std::integral_constant<int, Tokens>, bool is_first, bool is_last) {
      if (!is_first) {
        barrier_acquire(full_sums + 8 * group, sums_parity);
        sums_parity ^= 1;
        const auto* from = reinterpret_cast<const float4*>(shared + (my_sums - base));
#pragma unroll
        for (int i = 0; i < Tokens / 2; i += 4) {
          const float4 before = from[i / 4 * 128];
          total[i] = before.x, total[i + 1] = before.y, total[i + 2] = before.z, total[i + 3] = before.w;
        }
      }
#pragma unroll
      for (int i = 0; i < Tokens / 2; ++i) total[i] += work[i];
      if (is_last) return;
      const std::uint32_t next = (pair + 1) % pairs * wide_cluster + rank;
#pragma unroll
      for (int i = 0; i < Tokens / 2; i += 4) {
        store_at(my_sums + i * 512, next, total[i], total[i + 1], total[i + 2], total[i + 3]);
      }
      barrier_release_at(full_sums + 8 * group, next);
    };
    // Adds this section's sums to those of the sections before; of the last, those that are not kept stay in `work`.
    const auto add = [&]<int Tokens>(std::integral_constant<int, Tokens>, bool is_first, bool is_last) {
      constexpr int kept = P::template kept<Tokens>;
#pragma unroll
      for (int i = 0; i < kept; ++i) total[i] += work[i];
      auto* others = reinterpret_cast<float4*>(shared + P::totals_at + group * P::totals_bytes) + threadIdx.x % 128;
      // Some at a time: one by one, each would wait for the one before.
      constexpr int at_once = 3;
#pragma unroll
      for (int first = kept; first < Tokens / 2; first += 4 * at_once) {
        float4 before[at_once] = {};
#pragma unroll
        for (int i = 0; i < at_once && first + 4 * i < Tokens / 2; ++i) {
          if (!is_first) before[i] = load_here(others + ((first - kept) / 4 + i) * 128);
        }
#pragma unroll
        for (int i = 0; i < at_once && first + 4 * i < Tokens / 2; ++i) {
          float* sum = work + first + 4 * i;
          sum[0] += before[i].x, sum[1] += before[i].y, sum[2] += before[i].z, sum[3] += before[i].w;
          if (!is_last) others[((first - kept) / 4 + i) * 128] = {sum[0], sum[1], sum[2], sum[3]};
        }
      }
    };
    const auto multiply = [&]<int Tokens>(std::integral_constant<int, Tokens> tokens_here, int t) {
#pragma unroll
      for (int i = 0; i < Tokens / 2; ++i) work[i] = 0;  // so that it is not kept from tile to tile
#pragma unroll
      for (int i = 0; i < P::template kept<Tokens>; ++i) total[i] = 0;
      for_each_section([&](int section, int end) {
        for (int slice = section; slice < end; ++slice) {
          --left;
          for_each_batch<tile_steps / Batch>([&]<int B>(std::integral_constant<int, B>) {
            constexpr int step = B * Batch, in_stage = step % P::stage_steps;
            if (in_stage == 0 && !ready) barrier_wait(full_b + 8 * stage.at, stage.parity);
            const std::uint64_t b = hopper::operand(base + stage.at * stage_bytes) +
                                    in_stage / P::chunk_steps * (P::chunk_bytes / 16) + in_stage % P::chunk_steps * 2;
            products_begin();
#pragma unroll
            for (int i = 0; i < Batch; ++i) {
              product<Tokens>(work, a[B % 2][i], b + 2 * i, step + i > 0 ? 1 : slice != section);
            }
            products_commit();
            if constexpr (in_stage + Batch == P::stage_steps) {
              done = stage.at;
              stage.next(stages);
              ready = barrier_test(full_b + 8 * stage.at, stage.parity);
            }
            products_wait<1>();
            if constexpr (in_stage == 0) {
              if (done >= 0 && lane < wide_cluster) barrier_arrive_at(empty_b + 8 * done, pair_first + lane);
            }
            if constexpr (step + Batch < tile_steps) {
              unpack(std::integral_constant<int, step + Batch>{});
            } else if (left > 0) {
              if (P::parts > 1 && slice == c.col_tiles - 1) take_factors(t + clusters);
              unpack(std::integral_constant<int, 0>{});
            }
          });
        }
        products_wait<0>();
        hold<Tokens / 2>(work);
        if (Tokens <= wide_split_width<Most> && pairs > 1) {
          hand_over(tokens_here, section == 0, end == c.col_tiles);
        } else {
          add(tokens_here, section == 0, end == c.col_tiles);
        }
      });
    };
    // What outputs of a tile are multiplied by. A lane fetches every 32nd token's factor: one after the other, each
    // would wait for the second-level cache.
    float factor[(Most + 31) / 32], undo[2];
    const auto fetch_factors = [&](const wide_tile& tile) {
      const int row = first_row_of(tile) + lane / 4;
#pragma unroll
      for (int i = 0; i < (Most + 31) / 32; ++i) {
        factor[i] = c.x.factors[min(tile.token + 32 * i + lane, tokens - 1)];
      }
#pragma unroll
      for (int i = 0; i < 2; ++i) undo[i] = row + 8 * i < c.rows ? c.factors[row + 8 * i] : 1.0f;
    };
    const auto write = [&]<int Tokens>(std::integral_constant<int, Tokens>, const wide_tile& tile) {
      const int row = first_row_of(tile) + lane / 4, rows = static_cast<int>(c.rows) - row;
#pragma unroll
      for (int i = 0; i < 2; ++i) undo[i] = power_of_two(normalising_exponent(undo[i]));
      const int token0 = tile.token + lane % 4 * 2, here = rows > 0 ? tokens - token0 : 0;
      float* to = c.y + token0 * c.rows + row;
#pragma unroll
      for (int i = 0; i < Tokens / 4; ++i) {
        const int in_tile = i / 2 * 8 + i % 2;
        const float mine = __shfl_sync(~0u, factor[in_tile / 32], in_tile % 32 + lane % 4 * 2);
        const float* sums = (i / 2 * 4 < P::template kept<Tokens> ? total : work) + i / 2 * 4 + i % 2;
        if (in_tile < here) {
          __stcs(to, sums[0] * 0x1p24f * undo[0] * mine);
          if (rows > 8) __stcs(to + 8, sums[2] * 0x1p24f * undo[1] * mine);
        }
        to += i % 2 == 0 ? c.rows : 7 * c.rows;
      }
    };
    const int last_pair = (c.col_tiles - 1) / section_tiles % pairs;  // which has the last section
    if (left > 0) {
      if (P::parts > 1) take_factors(first);
      unpack(std::integral_constant<int, 0>{});
    }
    wait_for_predecessors();
    for (int t = first; t < count; t += clusters) {
      const wide_tile tile(c, t);
      const auto run = [&](auto tokens_of_tile) {
        if (P::narrow) fetch_factors(tile);  // registers are left for them
        multiply(tokens_of_tile, t);
        if (pair != last_pair) return;
        if (!P::narrow) fetch_factors(tile);
        write(tokens_of_tile, tile);
      };
      if (tile.width == P::widths[0]) {
        run(std::integral_constant<int, P::widths[0]>{});
      } else if constexpr (P::widths[1] != P::widths[0]) {
        run(std::integral_constant<int, P::widths[1]>{});
      }
    }
  }
  cluster_sync();
}

template <any_format F, int Most>
__global__ void __launch_bounds__(wide_plan<F, Most>::threads, 1) wide(const __grid_constant__ wide_call c) {
  [&]<bool There>(std::bool_constant<There>) {
    if constexpr (There) wide_block<F, Most>(c);
  }(std::bool_constant<hopper::present>{});
}

template <any_format F, int Most>
void launch_wide(const device_matrix::contents& w, const prepared& x, float* y, const std::array<wide_part, 2>& parts,
                 int pairs, stream s) {
  using plan = wide_plan<F, Most>;
  const int clusters = std::max(1, w.device.multiprocessors / wide_cluster);
  const int tiles = parts[0].strips * parts[0].tiles + parts[1].strips * parts[1].tiles;
  const wide_call call{.tiles = w.tiles.get(),
                       .factors = w.factors.get(),
                       .x = x,
                       .y = y,
                       .rows = w.rows,
                       .row_tiles = static_cast<int>(w.row_tiles),
                       .col_tiles = static_cast<int>(w.col_tiles),
                       .pairs = pairs,
                       .parts = parts};
  const int cluster = wide_cluster * pairs;
  launch_clusters(cluster, true, wide<F, Most>, cluster * (pairs > 1 ? tiles : std::min(clusters, tiles)),
                  plan::threads, plan::shared_bytes, s, "wide product", {w.rows, w.cols, x.tokens}, call);
}

// With tiles of at most Narrow tokens, or Wide where these end first.
template <any_format F, int Narrow, int Wide>
void launch_best(const device_matrix::contents& w, const prepared& x, float* y, stream s) {
  constexpr int split_width = wide_split_width<Narrow>;
  if constexpr (wide_plan<F, Narrow>::splits) {
    const int pairs = wide_pairs(w.row_tiles, x.tokens, w.cols, w.device.multiprocessors, split_width);
    if (pairs > 1) {
      const auto strips = static_cast<int>(ceil_div(w.row_tiles, wide_strip_tiles));
      const auto tiles = static_cast<int>(ceil_div(x.tokens, split_width));
      return launch_wide<F, Narrow>(w, x, y, {wide_part{strips, tiles, split_width, tiles}}, pairs, s);
    }
  }
  const auto divide = [&](const auto& widths) {
    return divide_wide(w.row_tiles, x.tokens, w.cols, std::max(1, w.device.multiprocessors / wide_cluster), widths);
  };
  const wide_division narrow = divide(wide_widths<Narrow>());
  if constexpr (Wide > Narrow && wide_plan<F, Wide>::fits) {
    const wide_division wide = divide(wide_widths<Wide>());
    if (wide.cost < narrow.cost) return launch_wide<F, Wide>(w, x, y, wide.parts, 1, s);
  }
  launch_wide<F, Narrow>(w, x, y, narrow.parts, 1, s);
}

template <any_format F>
void wide_kernels<F>::launch(const device_matrix::contents& w, const prepared& x, float* y, stream s) {
  if constexpr (!activation_format<F>) {  // no matrix has one: transfer::upload
    if (x.tokens <= 32) return launch_best<F, 32, 32>(w, x, y, s);
    if (x.tokens <= 64) return launch_best<F, 64, 64>(w, x, y, s);
    launch_best<F, 176, 256>(w, x, y, s);
  }
}

}  // namespace bq::cuda
