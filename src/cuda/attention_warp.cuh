// Paged attention of few rows over a cache of one type (attention_task.hpp): a warp alone takes slices of one sequence
// and one key and value head, up to 16 rows and Dims dims of a head. It waits for no other warp: keys and values come
// through a ring of its own, 16 at a time, and scores and weights p stay in registers. Its numbers are those of
// attention_block.cuh, bit for bit.
#pragma once
#include <bit>

#include "arch.cuh"
#include "attention_block.cuh"
#include "launch.hpp"

namespace bq::cuda {

template <class F, int Dims>
struct attention_warp : attention_rows {
  using block = attention_block<Dims, 1>;
  static constexpr int lane_keys = slice_keys / 32;
  static constexpr int chunk_keys = 16, chunks = slice_keys / chunk_keys, stride = block_tile<Dims>::stride;
  static constexpr bool plain = F::id == type::f16;  // multiplied from where they arrive
  static constexpr int size = sizeof(typename F::block);
  static constexpr int row_bytes = float_format<F> ? Dims * size : Dims / run_dims * size;
  static constexpr int unit = row_bytes % 16 == 0 ? 16 : row_bytes % 8 == 0 ? 8 : 4;  // of copies
  static constexpr int raw_stride = plain ? 2 * stride : (row_bytes + 15) / 16 * 16;
  static constexpr int stage_bytes = chunk_keys * raw_stride, tile_halves = plain ? 0 : chunk_keys * stride;
  static constexpr int stages = stage_bytes < 4096 ? 8 : 4;  // chunks on their way: they hide the memory's latency
  // So many lanes copy a row, each its part of so many rows that follow one another; two lanes what then is left.
  static constexpr int lanes_of_row = static_cast<int>(std::bit_floor(static_cast<unsigned>(row_bytes / unit)));
  static constexpr int lane_rows = chunk_keys * lanes_of_row / 32;
  // Of loops over chunks: the code of formats is too large to be there for each.
  static constexpr int unrolled = plain ? chunks : 2;

  struct alignas(16) layout {
    unsigned char ring[stages][stage_bytes];
    __half tile[tile_halves + 8];  // a chunk's keys or values; and what reading blocks goes beyond the ring
    int slots[2][slice_keys];      // of slices 2 n and 2 n + 1; -1: no row sees the key
  };

  layout& s;
  int lane;
  std::int64_t query[2];             // of rows lane / 4 and lane / 4 + 8: the index among all of q's heads
  int seen[2];                       // the last position that a query sees; -1: no query
  float scale[2];                    // of their scores
  std::uint32_t q[Dims / 16][2][4];  // as the tensor core's A, high and low

  int last;                                      // slice
  const unsigned char *head_keys, *head_values;  // of slot 0
  std::uint32_t key_stride, value_stride;
  int head_bytes;
  int next_pages[lane_keys];  // of the slice after the one that is being requested

  __device__ attention_warp(const attention_task& task, layout& shared, int head, int seq)
      : attention_rows(task, seq, head, 0, tile_queries), s(shared), lane(threadIdx.x) {
    head_keys = t.keys.rows + kv_head * t.keys.head_bytes;
    head_values = t.values.rows + kv_head * t.values.head_bytes;
    asm volatile("" : "+l"(head_keys), "+l"(head_values));  // not to be found again for each copy
    key_stride = static_cast<std::uint32_t>(t.keys.stride), value_stride = static_cast<std::uint32_t>(t.values.stride);
    head_bytes = static_cast<int>(t.keys.head_bytes);
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const int row = lane / 4 + 8 * h;
      query[h] = query_of(row);
      seen[h] = row < count ? position_of(row) : -1;
    }
  }

  __device__ void load_queries() {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const float* from = t.q + query[h] * t.head_dim;
      float2 v[Dims / 8];
      std::uint32_t top = 0;
#pragma unroll
      for (int i = 0; i < Dims / 8; ++i) {
        const int dim = 8 * i + lane % 4 * 2;
        v[i] = seen[h] >= 0 && dim < t.head_dim ? *reinterpret_cast<const float2*>(from + dim) : float2();
        top = max(top, max(f32_to_bits(v[i].x) & 0x7fffffffu, f32_to_bits(v[i].y) & 0x7fffffffu));
      }
      const float power = half_scale(across_lanes<4>(top, larger())).power;
      const float inverse = half_scale(f32_to_bits(power) + (13u << 23)).inverse;
      scale[h] = power * t.scale;
#pragma unroll
      for (int i = 0; i < Dims / 8; ++i) {
        split_pair(v[i].x * inverse, v[i].y * inverse, q[i / 2][0][i % 2 * 2 + h], q[i / 2][1][i % 2 * 2 + h]);
      }
    }
  }
  __device__ static void split_pair(float a, float b, std::uint32_t& high, std::uint32_t& low) {
    __half2 h, l;
    split(a, b, h, l);
    high = *reinterpret_cast<const std::uint32_t*>(&h);
    low = *reinterpret_cast<const std::uint32_t*>(&l);
  }

  // Looks up the pages of a slice's keys, which nobody waits for until store_slots() of that slice.
  __device__ void find_pages(int slice) {
#pragma unroll
    for (int i = 0; i < lane_keys; ++i) {
      next_pages[i] = page_of(slice * slice_keys + lane + 32 * i);
    }
  }
  __device__ void store_slots(int slice) {
#pragma unroll
    for (int i = 0; i < lane_keys; ++i) {
      s.slots[slice % 2][lane + 32 * i] = slot_of(next_pages[i], slice * slice_keys + lane + 32 * i);
    }
    __syncwarp();
  }

  // Starts to copy chunk `chunk` of a slice: of its keys, then of its values, then of the next slice.
  __device__ void request(int slice, int chunk) {
    if (chunk >= 2 * chunks) ++slice, chunk -= 2 * chunks;
    if (slice <= last) {
      const bool of_keys = chunk < chunks;
      const unsigned char* from = of_keys ? head_keys : head_values;
      const std::uint32_t row_stride = of_keys ? key_stride : value_stride;
      const int* slots = s.slots[slice % 2] + chunk % chunks * chunk_keys;
      unsigned char* to = s.ring[chunk % stages];
      const auto copy = [&](const unsigned char* column, int slot, int row, int at) {
        const auto place = std::uint64_t{static_cast<std::uint32_t>(max(slot, 0))} * row_stride;
        copy_async<unit>(to + row * raw_stride + at, column + place, slot >= 0 && at < head_bytes);
      };
      const int first = lane / lanes_of_row * lane_rows, at = lane % lanes_of_row * unit;
      int own[lane_rows];
#pragma unroll
      for (int i = 0; i < lane_rows; ++i) own[i] = slots[first + i];
#pragma unroll
      for (int i = 0; i < lane_rows; ++i) copy(from + at, own[i], first + i, at);
      if constexpr (lanes_of_row * unit < row_bytes) {
        const int slot = slots[lane / 2];
#pragma unroll
        for (int rest = lanes_of_row * unit; rest < row_bytes; rest += 2 * unit) {
          const int here = rest + lane % 2 * unit;
          if (here < row_bytes) copy(from + here, slot, lane / 2, here);
        }
      }
    }
    commit_copies();
  }

  // visit(tile) with a chunk of a slice as f16 [16][stride].
  template <class Visit>
  __device__ void take(int slice, int chunk, const Visit& visit) {
    wait_copies<stages - 1>();
    __syncwarp();
    unsigned char* raw = s.ring[chunk % stages];
    if constexpr (plain) {
      visit(reinterpret_cast<__half*>(raw));
      __syncwarp();
      request(slice, chunk + stages);
    } else {
      decode(raw);
      __syncwarp();
      request(slice, chunk + stages);
      visit(s.tile);
      __syncwarp();
    }
  }
  __device__ void decode(const unsigned char* raw) {
    if constexpr (float_format<F>) {
      using word = std::conditional_t<size == 4, std::uint32_t, std::uint16_t>;
#pragma unroll 4
      for (int i = lane; i < chunk_keys * Dims; i += 32) {
        const word bits = reinterpret_cast<const word*>(raw + i / Dims * raw_stride)[i % Dims];
        typename F::block packed;
        memcpy(&packed, &bits, sizeof packed);
        s.tile[i / Dims * stride + i % Dims] = __float2half_rn(F::decode(packed));
      }
    } else {
      constexpr int runs = Dims / run_dims;
#pragma unroll 1
      for (int i = lane; i < chunk_keys * runs; i += 32) {
        const int key = i / runs, run = i % runs;
        decode_run<F>(register_source<size>(raw + key * raw_stride + run * size),
                      [&](int dim) { return s.tile + key * stride + run * run_dims + dim; });
      }
    }
  }

  // Registers that a loop over chunks has for its own chunk, where it is not unrolled.
  template <class T, int N>
  __device__ static void put(T (&all)[chunks][N], int chunk, const T (&one)[N]) {
#pragma unroll
    for (int c = 0; c < chunks; ++c) {
#pragma unroll
      for (int i = 0; i < N; ++i) all[c][i] = c == chunk ? one[i] : all[c][i];
    }
  }
  template <class T, int N>
  __device__ static void get(const T (&all)[chunks][N], int chunk, T (&one)[N]) {
#pragma unroll
    for (int c = 0; c < chunks; ++c) {
#pragma unroll
      for (int i = 0; i < N; ++i) one[i] = c == chunk ? all[c][i] : one[i];
    }
  }

  // scores[chunk]: of 8 keys, rows lane / 4 and + 8, two keys each; then of the other 8.
  __device__ void add_scores(int slice, float (&scores)[chunks][8]) {
#pragma unroll unrolled
    for (int c = 0; c < chunks; ++c) {
      float sum[2][4] = {};
      take(slice, c, [&](const __half* tile) {
#pragma unroll
        for (int k = 0; k < Dims / 16; ++k) {
          std::uint32_t keys[4];
          load_matrices(keys, tile + (lane / 16 * 8 + lane % 8) * stride + 16 * k + lane / 8 % 2 * 8);
#pragma unroll
          for (int part = 0; part < 2; ++part) {
            mma(sum[0], q[k][part], keys[0], keys[1]);
            mma(sum[1], q[k][part], keys[2], keys[3]);
          }
        }
      });
      put(scores, c, {sum[0][0], sum[0][1], sum[0][2], sum[0][3], sum[1][0], sum[1][1], sum[1][2], sum[1][3]});
    }
  }

  // Values that are not finite would reach rows that do not see them, as 0 * infinity: they become zeros, and the rows
  // that see them NaN.
  __device__ void poison(int first_key, __half* tile, float (&l)[2]) {
    bool finite = true;
    __half* row = tile + lane * stride;
    for (int d = 0; d < Dims && lane < chunk_keys; ++d) {
      finite = finite && (__half_as_ushort(row[d]) & 0x7c00u) != 0x7c00u;
    }
    for (int d = 0; d < Dims && !finite; ++d) row[d] = __half();
    const unsigned bad = __ballot_sync(~0u, !finite);
    for (int key = 0; key < chunk_keys; ++key) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const bool sees = first_key + key <= seen[h] && first_key + key >= begin_of(seen[h]);
        if (bad >> key & 1 && sees) l[h] = f32_from_bits(nan_bits);
      }
    }
    __syncwarp();
  }

  // visit(n, e) for the two scores e of each tile n of 8 keys.
  template <class Visit>
  __device__ static void for_each_score(const Visit& visit) {
#pragma unroll
    for (int i = 0; i < 4 * chunks; ++i) visit(i / 2, i % 2);
  }

  // Scores become weights p, as the tensor core's A, high and low.
  __device__ void weigh(int slice, float (&scores)[chunks][8], std::uint32_t (&p)[chunks][8], float (&m)[2],
                        float (&l)[2]) {
    const int own = lane % 4 * 2;
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const int first = slice * slice_keys + own, at = seen[h] - first, begin = begin_of(seen[h]) - first;
      const auto score = [&](int n, int e) -> float& { return scores[n / 2][n % 2 * 4 + 2 * h + e]; };
      for_each_score([&](int n, int e) { score(n, e) *= scale[h]; });
      if (is_partial(slice)) {
        for_each_score([&](int n, int e) {
          if (n * 8 + e > at || n * 8 + e < begin) score(n, e) = -HUGE_VALF;
        });
      }
      m[h] = -HUGE_VALF;
      for_each_score([&](int n, int e) { m[h] = larger()(m[h], score(n, e)); });
      m[h] = across_lanes<4>(m[h], larger());
      const float base = m[h] == -HUGE_VALF ? 0.0f : m[h];
      float sums[2 * chunks / block::key_tiles] = {};
#pragma unroll
      for (int n = 0; n < 2 * chunks; ++n) {
        float weight[2];
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          weight[e] = weight_of(score(n, e) - base);
          sums[n / block::key_tiles] += weight[e];
        }
        split_pair(weight[0] * p_scale, weight[1] * p_scale, p[n / 2][n % 2 * 2 + h], p[n / 2][4 + n % 2 * 2 + h]);
      }
#pragma unroll
      for (int i = 0; i < 2 * chunks / block::key_tiles; ++i) {
        const float part = across_lanes<4>(sums[i], sum());
        l[h] = i == 0 ? part : l[h] + part;
      }
    }
  }

  __device__ void add_values(int slice, const std::uint32_t (&p)[chunks][8], float (&o)[Dims / 8][4], float (&l)[2]) {
    const bool guarded = is_guarded(slice);
#pragma unroll unrolled
    for (int c = 0; c < chunks; ++c) {
      std::uint32_t both[8] = {};
      get(p, c, both);
      const std::uint32_t parts[2][4] = {{both[0], both[1], both[2], both[3]}, {both[4], both[5], both[6], both[7]}};
      take(slice, chunks + c, [&](__half* tile) {
        if (guarded) poison(slice * slice_keys + c * chunk_keys, tile, l);
#pragma unroll
        for (int n = 0; n < Dims / 8; n += 2) {
          std::uint32_t values[4];
          load_turned_matrices(values, tile + lane % 16 * stride + n * 8 + lane / 16 * 8);
#pragma unroll
          for (int part = 0; part < 2; ++part) {
            mma(o[n], parts[part], values[0], values[1]);
            mma(o[n + 1], parts[part], values[2], values[3]);
          }
        }
      });
    }
  }

  // Slices [first, final], whose numbers go to t.partial.
  __device__ void attend(int first, int final) {
    last = final;
    find_pages(first);
    store_slots(first);
#pragma unroll 1
    for (int i = 0; i < stages; ++i) request(first, i);
    if (first < last) find_pages(first + 1);
    load_queries();
#pragma unroll 1
    for (int slice = first; slice <= last; ++slice) {
      float scores[chunks][8] = {}, m[2], l[2], o[Dims / 8][4] = {};
      std::uint32_t p[chunks][8];
      add_scores(slice, scores);
      if (slice < last) store_slots(slice + 1);
      if (slice + 1 < last) find_pages(slice + 2);
      weigh(slice, scores, p, m, l);
      add_values(slice, p, o, l);
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        if (seen[h] < 0) continue;
        float* to = t.partial + (query[h] * t.slices + slice) * (t.head_dim + 2);
#pragma unroll
        for (int n = 0; n < Dims / 8; ++n) {
          const int dim = n * 8 + lane % 4 * 2;
          if (dim < t.head_dim) *reinterpret_cast<float2*>(to + dim) = make_float2(o[n][2 * h], o[n][2 * h + 1]);
        }
        if (lane % 4 == 0) *reinterpret_cast<float2*>(to + t.head_dim) = make_float2(m[h], l[h]);
      }
    }
  }
};

template <class F, int Dims>
__global__ void __launch_bounds__(32) attend_slices(const __grid_constant__ attention_task t) {
  __shared__ typename attention_warp<F, Dims>::layout shared;
  begin_early();
  attention_warp<F, Dims> w(t, shared, static_cast<int>(blockIdx.y), static_cast<int>(blockIdx.z));
  if (w.count <= 0) return;
  const int from = static_cast<int>(blockIdx.x) * t.block_slices;
  const int first = max(w.first_slice(), from);
  const int last = min(w.last_slice(), from + t.block_slices - 1);
  if (first <= last) w.attend(first, last);
}

template <any_format F, int Dims>
bool launch_attend_slices(attention_task t, std::int64_t sequences, std::int64_t kv_heads, stream s) {
  using warp = attention_warp<F, Dims>;
  if constexpr (warp::row_bytes % warp::unit == 0) {
    for (const attention_task::cache& c : {t.keys, t.values}) {
      if ((reinterpret_cast<std::uintptr_t>(c.rows) | c.stride | c.head_bytes) % warp::unit != 0) return false;
    }
    constexpr int least_bytes = 28 << 10;  // registers let eight run on a multiprocessor
    const int at_once = blocks_at_once(std::max<int>(sizeof(typename warp::layout), least_bytes));
    t.block_slices = slices_for_blocks(sequences * kv_heads, t.slices, at_once);
    const dim3 grid(static_cast<unsigned>(ceil_div(t.slices, t.block_slices)), static_cast<unsigned>(kv_heads),
                    static_cast<unsigned>(sequences));
    bq::cuda::launch(launches_early(), attend_slices<F, Dims>, grid, 32, 0, s, "attention", {grid.x, grid.y, grid.z},
                     t);
    return true;
  }
  return false;
}

template <any_format F>
bool attention_kernels<F>::launch(const attention_task& t, std::int64_t sequences, std::int64_t kv_heads, stream s) {
  if constexpr (is_cache_format<F>) {
    if (t.head_dim <= 64) return launch_attend_slices<F, 64>(t, sequences, kv_heads, s);
    if (t.head_dim <= 128) return launch_attend_slices<F, 128>(t, sequences, kv_heads, s);
  }
  return false;
}

}  // namespace bq::cuda
