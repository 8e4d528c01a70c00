// Paged attention of many rows on Hopper (attention_task.hpp): thread blocks that stay take 128 rows of a sequence and
// one key and value head after another. Two consumer warpgroups have 64 rows each; of these scores and weights p stay
// in registers. A producer warpgroup keeps a ring of tiles full: a slice's keys, then its values, as f16 in the order
// in which tensor cores read them. Consumers take turns at the tensor cores: while one's products run, the other weighs
// its scores or joins its slices. Their numbers are those of attention_block.cuh, bit for bit.
#include <algorithm>

#include "arch.cuh"
#include "attention_block.cuh"
#include "hopper.cuh"
#include "launch.hpp"

namespace bq::cuda {

namespace {

constexpr int consumers = 2, unit_rows = 64, block_rows = consumers * unit_rows, threads = 128 * (consumers + 1);
constexpr int line_bytes = 128, line_dims = line_bytes / 2, warp_keys = slice_keys / 4;

// Of tiles and queries, 64 dims follow one another: lines of 128 bytes (hopper.cuh).
template <int Dims, bool Coded>
struct plan {
  static constexpr int parts = Dims / line_dims;
  static constexpr int tile_part = slice_keys * line_bytes, tile_bytes = parts * tile_part;
  static constexpr int query_part = unit_rows * line_bytes, query_bytes = parts * query_part;  // high, or low
  static constexpr int stages = Coded ? 3 : 4;
  static constexpr int raw_bytes = warp_keys * raw_stride<Dims> + 16;  // words of two may reach beyond
  static constexpr int queries_at = stages * tile_bytes, raw_at = queries_at + 2 * consumers * query_bytes;
  static constexpr int poisoned_at = raw_at + (Coded ? 2 * 4 * raw_bytes : 0);  // a bit for each key of a stage
  static constexpr int barriers_at = poisoned_at + stages * slice_keys / 8;
  static constexpr int shared_bytes = 1024 + barriers_at + 2 * 8 * stages;
  static_assert(shared_bytes <= 227 << 10);
};

struct call {
  attention_task t;
  int heads, tasks;  // of keys and values; of 128 rows

  // Calls visit(rows) for each of a thread block's tasks. The last rows of a sequence see most: they come first.
  template <class Visit>
  __device__ __forceinline__ void for_each(int sequences, const Visit& visit) const {
    const int of_block = heads * sequences;
    for (int task = blockIdx.x; task < tasks; task += gridDim.x) {
      const int in_block = task % of_block, from_end = task / of_block;
      const attention_rows r(t, in_block / heads, in_block % heads, (tasks / of_block - 1 - from_end) * block_rows,
                             block_rows);
      if (r.count > 0) visit(r);
    }
  }
};

// The offset of 16 bytes, eight dims, of a line.
[[maybe_unused]] __device__ __forceinline__ int piece_at(int line, int dim, int part_bytes) {
  return dim / line_dims * part_bytes + line * line_bytes + ((dim % line_dims / 8) ^ (line % 8)) * 16;
}

// A warp's keys of a tile (cache_tile.cuh); a lane holds the slot of one.
template <int Dims>
struct warp_tile {
  static constexpr int keys = warp_keys, threads = 32;
  int own_slot, first;
  unsigned char* tile;

  __device__ int index() const {
    unsigned thread = threadIdx.x;
    asm volatile("" : "+r"(thread));  // else all formats' addresses would be computed ahead, and spill
    return static_cast<int>(thread % 32);
  }
  __device__ int slot(int key) const { return __shfl_sync(~0u, own_slot, key); }
  __device__ __half* at(int key, int dim) const {
    return reinterpret_cast<__half*>(tile + piece_at(first + key, dim, slice_keys * line_bytes));
  }
};

// A warp of the producer.
template <int Dims, bool Coded>
struct producer {
  using P = plan<Dims, Coded>;
  using rows = cache_rows<Dims, warp_tile<Dims>>;

  const attention_task& t;
  unsigned char* shared;
  std::uint32_t full, empty;
  int warp, lane;
  hopper::ring_place stage{0, 1};
  int tiles = 0;
  struct tile {
    int stage, slot;
    const attention_task::cache* from;  // null: none
    unsigned char* raw;
    bool guarded;  // values of which some may be hidden from some row
  } before{0, 0, nullptr, nullptr, false};

  __device__ warp_tile<Dims> team(const tile& one) const {
    return {one.slot, warp * warp_keys, shared + one.stage * P::tile_bytes};
  }

  // Starts to bring a tile, and waits for the one before.
  __device__ void bring(const attention_task::cache& from, int head, int slot, bool guarded) {
    hopper::barrier_wait(empty + 8 * stage.at, stage.parity);
    const tile now{stage.at, slot, &from, shared + P::raw_at + (tiles % 2 * 4 + warp) * P::raw_bytes, guarded};
    rows::template fetch<Coded>(team(now), from, head, 0, t.head_dim, now.raw);
    wait_copies<1>();
    finish();
    before = now;
    stage.next(P::stages);
    ++tiles;
  }
  __device__ void finish() {
    if (!before.from) return;
    __syncwarp();
    if (Coded && before.from->coded) {
      rows::decode(team(before), before.from->id, before.raw);
      __syncwarp();
    }
    if (before.guarded) poison();
    hopper::stores_to_operands();
    __syncwarp();
    if (lane == 0) hopper::barrier_arrive(full + 8 * before.stage);
  }

  // A value that is not finite would reach rows that do not see it, as 0 * infinity: its key's values become zeros, and
  // the key is marked for the rows that see it.
  __device__ void poison() {
    const auto values = team(before);
    bool finite = true;
    for (int d = 0; d < Dims; ++d) {
      finite = finite && (__half_as_ushort(values.at(lane, d / 8 * 8)[d % 8]) & 0x7c00u) != 0x7c00u;
    }
    for (int d = 0; d < Dims && !finite; ++d) values.at(lane, d / 8 * 8)[d % 8] = __half();
    const unsigned bad = __ballot_sync(~0u, !finite);
    if (lane == 0) reinterpret_cast<unsigned*>(shared + P::poisoned_at)[before.stage * 4 + warp] = bad;
  }

  __device__ void run(const call& c, int sequences) {
    c.for_each(sequences, [&](const attention_rows& r) {
      int key = r.first_slice() * slice_keys + warp * warp_keys + lane, page = r.page_of(key);
      for (int slice = r.first_slice(); slice <= r.last_slice(); ++slice, key += slice_keys) {
        const int slot = r.slot_of(page, key);
        page = r.page_of(key + slice_keys);
        bring(t.keys, r.kv_head, slot, false);
        bring(t.values, r.kv_head, slot, r.is_guarded(slice));
      }
    });
    wait_copies<0>();
    finish();
  }
};

// A warp of a consumer: 16 of its rows, of which a thread has row lane / 4 and the one eight below.
template <int Dims, bool Coded>
struct consumer {
  using P = plan<Dims, Coded>;

  const attention_task& t;
  unsigned char* shared;
  std::uint32_t base, full, empty;
  int group, warp, lane;
  hopper::ring_place stage{};
  int seen[2];     // the last position that a row sees; -1: no such row
  float scale[2];  // of a row's scores

  __device__ int first_row() const { return group * unit_rows + warp * 16; }
  __device__ unsigned char* queries(int part) const {
    return shared + P::queries_at + (2 * group + part) * P::query_bytes;
  }

  // No product of this warpgroup runs: each of its warps has waited for its last scores before its turn at the values.
  __device__ void load_queries(const attention_rows& r) {
    constexpr int lane_dims = Dims / 32;
    const int dim = lane * lane_dims;
    float v[16][lane_dims] = {};
#pragma unroll
    for (int i = 0; i < 16; ++i) {
      const int row = first_row() + i;
      if (row < r.count && dim < t.head_dim) {
        const float* from = t.q + r.query_of(row) * t.head_dim + dim;
#pragma unroll
        for (int d = 0; d < lane_dims; d += 2) {
          const float2 two = *reinterpret_cast<const float2*>(from + d);
          v[i][d] = two.x, v[i][d + 1] = two.y;
        }
      }
    }
#pragma unroll
    for (int i = 0; i < 16; ++i) {
      std::uint32_t top = 0;
#pragma unroll
      for (const float x : v[i]) top = max(top, f32_to_bits(x) & 0x7fffffffu);
      const float power = half_scale(across_lanes<32>(top, larger())).power;
      const float inverse = half_scale(f32_to_bits(power) + (13u << 23)).inverse;
      if (lane / 4 == i % 8) scale[i / 8] = power * t.scale;
      const int at = piece_at(warp * 16 + i, dim, P::query_part) + dim % 8 * 2;
#pragma unroll
      for (int d = 0; d < lane_dims; d += 2) {
        split(v[i][d] * inverse, v[i][d + 1] * inverse, *reinterpret_cast<__half2*>(queries(0) + at + 2 * d),
              *reinterpret_cast<__half2*>(queries(1) + at + 2 * d));
      }
    }
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const int row = first_row() + h * 8 + lane / 4;
      seen[h] = row < r.count ? r.position_of(row) : -1;
    }
    hopper::stores_to_operands();
    hopper::warpgroup_sync(1 + consumers + group);
  }

  // One turn at the tensor cores, with the next tile of the ring.
  template <int N, class Issue>
  __device__ __forceinline__ void turn(float (&sums)[N], const Issue& issue) {
    using namespace hopper;
    wait_for_others(1 + group);  // barrier 1 + i is consumer i's turn
    barrier_wait(full + 8 * stage.at, stage.parity);
    products_begin();
    issue(base + stage.at * P::tile_bytes);
    products_commit();
    arrive_for_others(2 - group);
    products_wait<0>();
    hold<N>(sums);
  }
  __device__ void leave_tile() {
    if (lane == 0) hopper::barrier_arrive(empty + 8 * stage.at);
    stage.next(P::stages);
  }

  __device__ __forceinline__ void add_scores(float (&scores)[64]) {
    const std::uint32_t from = base + P::queries_at + 2 * group * P::query_bytes;
    turn(scores, [&](std::uint32_t keys) {
#pragma unroll
      for (int k = 0; k < Dims / 16; ++k) {
        const int in_line = k % 4 * 2, line_part = k / 4;
#pragma unroll
        for (int part = 0; part < 2; ++part) {
          hopper::product(scores, hopper::operand(from + part * P::query_bytes + line_part * P::query_part) + in_line,
                          hopper::operand(keys + line_part * P::tile_part) + in_line, k + part > 0);
        }
      }
    });
    leave_tile();
  }

  // Scores become weights p, as the tensor core's A: of 16 keys, high and low.
  __device__ __forceinline__ void weigh(const attention_rows& r, int slice, float (&scores)[64],
                                        std::uint32_t (&p)[8][2][4], float (&m)[2], float (&l)[2]) {
    const bool partial = r.is_partial(slice);
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const auto score = [&](int n, int e) -> float& { return scores[4 * n + 2 * h + e]; };
      const int first = slice * slice_keys + lane % 4 * 2, at = seen[h] - first, begin = r.begin_of(seen[h]) - first;
      m[h] = -HUGE_VALF;
#pragma unroll
      for (int i = 0; i < 32; ++i) score(i / 2, i % 2) *= scale[h];
      if (partial) {
#pragma unroll
        for (int i = 0; i < 32; ++i) {
          const int key = i / 2 * 8 + i % 2;
          if (key > at || key < begin) score(i / 2, i % 2) = -HUGE_VALF;
        }
      }
#pragma unroll
      for (int i = 0; i < 32; ++i) m[h] = fmaxf(m[h], score(i / 2, i % 2));
      m[h] = across_lanes<4>(m[h], larger());
      const float from = m[h] == -HUGE_VALF ? 0.0f : m[h];
      constexpr int added_tiles = attention_block<Dims, 1>::key_tiles;  // of which a lane's weights are added first
      float sums[16 / added_tiles] = {};
#pragma unroll
      for (int n = 0; n < 16; ++n) {
        float weight[2];
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          weight[e] = weight_of(score(n, e) - from);
          sums[n / added_tiles] += weight[e];
        }
        __half2 high, low;
        split(weight[0] * p_scale, weight[1] * p_scale, high, low);
        p[n / 2][0][n % 2 * 2 + h] = *reinterpret_cast<const std::uint32_t*>(&high);
        p[n / 2][1][n % 2 * 2 + h] = *reinterpret_cast<const std::uint32_t*>(&low);
      }
#pragma unroll
      for (int i = 0; i < 16 / added_tiles; ++i) {
        const float part = across_lanes<4>(sums[i], sum());
        l[h] = i == 0 ? part : l[h] + part;
      }
    }
  }

  __device__ __forceinline__ void add_values(const attention_rows& r, int slice, const std::uint32_t (&p)[8][2][4],
                                             float (&o)[Dims / 2], float (&l)[2]) {
    turn(o, [&](std::uint32_t values) {
#pragma unroll
      for (int c = 0; c < 8; ++c) {
        const std::uint64_t b = hopper::turned_operand(values + c * 16 * line_bytes, P::tile_part);
#pragma unroll
        for (int part = 0; part < 2; ++part) hopper::product<Dims, true>(o, p[c][part], b, c + part > 0);
      }
    });
    if (r.is_guarded(slice)) {
      const auto* poisoned = reinterpret_cast<const unsigned*>(shared + P::poisoned_at) + 4 * stage.at;
      for (int warp_of = 0; warp_of < 4; ++warp_of) {
        for (unsigned bits = poisoned[warp_of]; bits != 0; bits &= bits - 1) {
          const int position = slice * slice_keys + warp_of * warp_keys + __ffs(bits) - 1;
#pragma unroll
          for (int h = 0; h < 2; ++h) {
            if (position <= seen[h] && position >= r.begin_of(seen[h])) l[h] = f32_from_bits(nan_bits);
          }
        }
      }
      __syncwarp();
    }
    leave_tile();
  }

  __device__ void run(const call& c, int sequences) {
    if (group == 1) hopper::arrive_for_others(1);
    c.for_each(sequences, [&](const attention_rows& r) {
      load_queries(r);
      float all[Dims / 2] = {}, all_m[2] = {-HUGE_VALF, -HUGE_VALF}, all_l[2] = {};
      for (int slice = r.first_slice(); slice <= r.last_slice(); ++slice) {
        float scores[64], o[Dims / 2], m[2], l[2];
        std::uint32_t p[8][2][4];
        add_scores(scores);
        weigh(r, slice, scores, p, m, l);
        add_values(r, slice, p, o, l);
#pragma unroll
        for (int h = 0; h < 2; ++h) {
          const join_factors j(all_m[h], m[h]);
          all_m[h] = j.m;
          all_l[h] = j.join(all_l[h], l[h]);
#pragma unroll
          for (int i = 0; i < Dims / 4; ++i) {
            const int at = i / 2 * 4 + 2 * h + i % 2;
            all[at] = j.join(all[at], o[at]);
          }
        }
      }
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        if (seen[h] < 0) continue;
        const float factor = output_factor(all_l[h]);
        float* to = t.out + r.query_of(first_row() + h * 8 + lane / 4) * t.head_dim;
#pragma unroll
        for (int n = 0; n < Dims / 8; ++n) {
          const int dim = n * 8 + lane % 4 * 2, at = 4 * n + 2 * h;
          if (dim < t.head_dim) {
            *reinterpret_cast<float2*>(to + dim) = make_float2(all[at] * factor, all[at + 1] * factor);
          }
        }
      }
    });
    if (group == 0) hopper::wait_for_others(1);  // the turn that the other's last one gave
  }
};

template <int Dims, bool Coded>
__device__ __forceinline__ void attend(const call& c, int sequences) {
  using namespace hopper;
  using P = plan<Dims, Coded>;
  extern __shared__ unsigned char raw[];
  const std::uint32_t base = (shared_address(raw) + 1023) / 1024 * 1024;
  unsigned char* shared = raw + (base - shared_address(raw));
  const std::uint32_t full = base + P::barriers_at, empty = full + 8 * P::stages;
  const int warp = __shfl_sync(~0u, threadIdx.x / 32, 0);  // the same in all lanes, for the compiler too
  const int lane = threadIdx.x % 32, group = warp / 4;
  if (threadIdx.x == 0) {
    for (int i = 0; i < P::stages; ++i) {
      barrier_init(full + 8 * i, 4);
      barrier_init(empty + 8 * i, 4 * consumers);
    }
    barriers_ready();
  }
  __syncthreads();
  begin_early();
  if (group == consumers) {
    give_registers<72>();  // 504 in all: what a block of 384 threads begins with
    producer<Dims, Coded>{c.t, shared, full, empty, warp % 4, lane}.run(c, sequences);
  } else {
    take_registers<216>();
    consumer<Dims, Coded>{c.t, shared, base, full, empty, group, warp % 4, lane}.run(c, sequences);
  }
}

template <int Dims, bool Coded>
__global__ void __launch_bounds__(threads, 1) attend_wgmma(const __grid_constant__ call c, int sequences) {
  [&]<bool There>(std::bool_constant<There>) {
    if constexpr (There) attend<Dims, Coded>(c, sequences);
  }(std::bool_constant<hopper::present>{});
}

template <int Dims, bool Coded>
void start(const call& c, int sequences, stream s) {
  const int blocks = std::min(c.tasks, device_attribute(cudaDevAttrMultiProcessorCount));
  launch(true, attend_wgmma<Dims, Coded>, blocks, threads, plan<Dims, Coded>::shared_bytes, s, "attention",
         {blocks, c.tasks}, c, sequences);
}

}  // namespace

void launch_attention_hopper(const attention_task& t, const attention_batch& b, int kv_heads, stream s) {
  const auto row_blocks = static_cast<int>(ceil_div(b.most_tokens * t.group, block_rows));
  const auto sequences = static_cast<int>(b.sequences);
  const call c{t, kv_heads, row_blocks * sequences * kv_heads};
  const bool coded = t.keys.coded || t.values.coded;
  if (t.head_dim > 64)
    (coded ? start<128, true> : start<128, false>)(c, sequences, s);
  else
    (coded ? start<64, true> : start<64, false>)(c, sequences, s);
}

}  // namespace bq::cuda
