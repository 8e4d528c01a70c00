// A thread block's part in paged attention (attention_task.hpp): tiles of 16 rows of one sequence and one key and value
// head, and Dims of the output's dims.
//
// The warps share the work on a slice: each takes some of the keys for the scores, then some of the dims for the
// values. Queries and weights p enter the tensor core as two f16 each, high and low, so that only keys and values
// are rounded to f16.
#pragma once
#include "arch.cuh"
#include "attention_rows.cuh"
#include "cache_tile.cuh"
#include "half_scale.hpp"
#include "thread_block.cuh"

namespace bq::cuda {

inline constexpr int tile_queries = 16, key_stride = slice_keys + 8;
inline constexpr float p_scale = 0x1p14f;  // of the weights p as f16

// How far joining two parts shrinks each. A part that sees no key has m = -infinity and changes nothing.
struct join_factors {
  float m, before, after;
  __device__ join_factors(float m_before, float m_after) {
    m = m_before < m_after ? m_after : m_before;
    const bool none = m == -HUGE_VALF;
    before = none ? 1.0f : exp2f(m_before - m);
    after = none ? 0.0f : exp2f(m_after - m);
  }
  __device__ float join(float a, float b) const { return fmaf(a, before, b * after); }
};

inline __device__ void load_turned_matrices(std::uint32_t (&r)[4], const __half* row) {
  const auto at = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(at)
               : "memory");
}

// 2^x, which is 0 below 2^-126.
__device__ __forceinline__ float weight_of(float x) {
  float p;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(p) : "f"(x));
  return p;
}

// Of sums of p * value, which are p_scale too large: l is at least 1, where a key is seen.
__device__ __forceinline__ float output_factor(float l) { return 1 / (p_scale * l); }

// a and b as two f16 each.
inline __device__ void split(float a, float b, __half2& high, __half2& low) {
  high = __floats2half2_rn(a, b);
  const float2 rounded = __half22float2(high);
  low = __floats2half2_rn(a - rounded.x, b - rounded.y);
}

template <int Dims, int Tiles>
struct attention_block : attention_rows {
  using tile = block_tile<Dims>;
  static constexpr int rows = Tiles * tile_queries, warps = tile::threads / 32;
  static constexpr int key_tiles = slice_keys / warps / 8, value_tiles = Dims / warps / 8;  // of 8, of each warp

  // Shared memory, in this order.
  struct alignas(16) layout {
    __half q[2][rows * tile::stride];
    __half p[2][rows * key_stride];
    __half keys[tile::halves];
    std::int64_t query[rows];  // index among all of q's heads
    int seen[rows];            // the last position that the query sees; -1: no query
    float query_scale[rows];
    float reduced[warps][rows];
    int slots[slice_keys];
    int poisoned[slice_keys];
  };
  // After the layout: values as f16, values as they are, keys as they are; blocks of values that come with blocks of
  // keys are decoded to where the keys were.
  static constexpr int f16_bytes = tile::halves * static_cast<int>(sizeof(__half));
  static int shared_bytes(bool coded_keys, bool coded_values) {
    return static_cast<int>(sizeof(layout)) + (coded_keys && coded_values ? 0 : f16_bytes) +
           (coded_values ? tile::raw_bytes : 0) + (coded_keys ? tile::raw_bytes : 0);
  }

  layout& s;
  int out_dim;  // of this block
  int warp, lane;

  __device__ attention_block(const attention_task& task, layout& shared, int seq, int row_block, int head, int dim)
      : attention_rows(task, seq, head, row_block * rows, rows), s(shared), out_dim(dim) {
    warp = static_cast<int>(threadIdx.x) / 32;
    lane = static_cast<int>(threadIdx.x) % 32;
    const int row = static_cast<int>(threadIdx.x);
    if (row < rows) {
      s.query[row] = query_of(row);
      s.seen[row] = row < count ? position_of(row) : -1;
    }
    __syncthreads();
  }

  __device__ const float* query(int row) const { return t.q + s.query[row] * t.head_dim; }

  // Queries' powers of two, once; then their dims [dim, dim + Dims).
  __device__ void load_scales() {
    for (int row = warp; row < rows; row += warps) {
      std::uint32_t top = 0;
      if (row < count) {
        for (int d = lane; d < t.head_dim; d += 32) top = max(top, f32_to_bits(query(row)[d]) & 0x7fffffffu);
      }
      top = across_lanes<32>(top, larger());
      if (lane == 0) s.query_scale[row] = half_scale(top).power;
    }
    __syncthreads();
  }
  __device__ void load_queries(int dim) {
    for (int row = warp; row < rows; row += warps) {
      const float power = s.query_scale[row];
      const float inverse = half_scale(f32_to_bits(power) + (13u << 23)).inverse;
      for (int d = 2 * lane; d < Dims; d += 64) {
        const bool there = row < count && dim + d < t.head_dim;
        const float2 v = there ? *reinterpret_cast<const float2*>(query(row) + dim + d) : float2();
        const int at = row * tile::stride + d;
        split(v.x * inverse, v.y * inverse, *reinterpret_cast<__half2*>(s.q[0] + at),
              *reinterpret_cast<__half2*>(s.q[1] + at));
      }
    }
  }

  // The slot of this thread's key of a slice, if some row of the block sees that key; else -1.
  __device__ int find_slot(int slice) const {
    const int key = slice * slice_keys + static_cast<int>(threadIdx.x);
    return threadIdx.x < slice_keys ? slot_of(page_of(key), key) : -1;
  }
  __device__ void share_slots(int slot) {
    if (threadIdx.x < slice_keys) s.slots[threadIdx.x] = slot;
    __syncthreads();
  }

  __device__ bool shares_tile() const { return t.keys.coded && t.values.coded; }
  __device__ unsigned char* tail() { return reinterpret_cast<unsigned char*>(&s + 1); }
  __device__ __half* value_tile() { return shares_tile() ? s.keys : reinterpret_cast<__half*>(tail()); }
  __device__ unsigned char* raw_values() { return tail() + (shares_tile() ? 0 : f16_bytes); }
  __device__ unsigned char* raw_keys() { return raw_values() + (t.values.coded ? tile::raw_bytes : 0); }
  // Functions of their own, because the code of all formats inlined would crowd out the kernel's.
  static __device__ __noinline__ void fetch(const attention_task::cache& c, int head, int dim, int head_dim,
                                            const int* slots, __half* to, unsigned char* raw) {
    cache_rows<Dims, tile>::fetch(tile{slots, to}, c, head, dim, head_dim, raw);
  }
  static __device__ __noinline__ void decode(type id, const unsigned char* raw, __half* to) {
    cache_rows<Dims, tile>::decode(tile{nullptr, to}, id, raw);
  }
  __device__ void fetch_keys(int dim) { fetch(t.keys, kv_head, dim, t.head_dim, s.slots, s.keys, raw_keys()); }
  __device__ void fetch_values() { fetch(t.values, kv_head, out_dim, t.head_dim, s.slots, value_tile(), raw_values()); }

  // scores[tile][8 keys][...] += queries * keys of some dims; for the warp's share of the keys.
  __device__ void add_scores(float (&scores)[Tiles][key_tiles][4]) {
#pragma unroll 2
    for (int k = 0; k < Dims; k += 16) {
      std::uint32_t keys[key_tiles / 2][4];
#pragma unroll
      for (int pair = 0; pair < key_tiles / 2; ++pair) {
        const int key = (warp * key_tiles + pair * 2) * 8 + lane / 16 * 8 + lane % 8;
        load_matrices(keys[pair], s.keys + key * tile::stride + k + lane / 8 % 2 * 8);
      }
#pragma unroll
      for (int i = 0; i < Tiles; ++i) {
#pragma unroll
        for (int part = 0; part < 2; ++part) {
          std::uint32_t q[4];
          load_matrices(q, s.q[part] + (i * 16 + lane % 16) * tile::stride + k + lane / 16 * 8);
#pragma unroll
          for (int n = 0; n < key_tiles; ++n) mma(scores[i][n], q, keys[n / 2][n % 2 * 2], keys[n / 2][n % 2 * 2 + 1]);
        }
      }
    }
  }

  // A number of each row, from all warps: combined over the four lanes that share the row, then over the warps.
  template <class Combine>
  __device__ void across_warps(float (&v)[Tiles][2], const Combine& combine) {
#pragma unroll
    for (int i = 0; i < 2 * Tiles; ++i) {
      float& own = v[i / 2][i % 2];
      own = across_lanes<4>(own, combine);
      if (lane % 4 == 0) s.reduced[warp][i * 8 + lane / 4] = own;
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 2 * Tiles; ++i) {
      float all = s.reduced[0][i * 8 + lane / 4];
#pragma unroll
      for (int w = 1; w < warps; ++w) all = combine(all, s.reduced[w][i * 8 + lane / 4]);
      v[i / 2][i % 2] = all;
    }
    __syncthreads();
  }

  // Scores become weights p in shared memory; m and l are those of this thread's rows: 16 i + 8 h + lane / 4.
  // With `guarded`, keys may be poisoned.
  __device__ void weigh(int slice, bool guarded, float (&scores)[Tiles][key_tiles][4], float (&m)[Tiles][2],
                        float (&l)[Tiles][2]) {
    const int first_key = warp * key_tiles * 8 + lane % 4 * 2;
#pragma unroll
    for (int i = 0; i < Tiles; ++i) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const int row = i * 16 + h * 8 + lane / 4;
        const float scale = s.query_scale[row] * t.scale;
        const int at = s.seen[row], begin = begin_of(at);
        m[i][h] = -HUGE_VALF;
        l[i][h] = 0;
#pragma unroll
        for (int n = 0; n < key_tiles; ++n) {
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            float& score = scores[i][n][2 * h + e];
            const int key = slice * slice_keys + first_key + n * 8 + e;
            score = key <= at && key >= begin ? score * scale : -HUGE_VALF;
            m[i][h] = m[i][h] < score ? score : m[i][h];
          }
        }
      }
    }
    across_warps(m, larger());
#pragma unroll
    for (int i = 0; i < Tiles; ++i) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const int row = i * 16 + h * 8 + lane / 4;
        const float base = m[i][h] == -HUGE_VALF ? 0.0f : m[i][h];
#pragma unroll
        for (int n = 0; n < key_tiles; ++n) {
          float p[2];
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            p[e] = weight_of(scores[i][n][2 * h + e] - base);
            if (guarded && s.poisoned[first_key + n * 8 + e] && scores[i][n][2 * h + e] > -HUGE_VALF)
              p[e] = f32_from_bits(nan_bits);
            l[i][h] += p[e];
          }
          const int at = row * key_stride + first_key + n * 8;
          split(p[0] * p_scale, p[1] * p_scale, *reinterpret_cast<__half2*>(s.p[0] + at),
                *reinterpret_cast<__half2*>(s.p[1] + at));
        }
      }
    }
    across_warps(l, sum());
  }

  // o[tile][8 dims][...] = p * values; for the warp's share of the dims.
  __device__ void add_values(float (&o)[Tiles][value_tiles][4]) {
    const int first_dim = warp * value_tiles * 8;
#pragma unroll 2
    for (int k = 0; k < slice_keys; k += 16) {
      std::uint32_t values[value_tiles / 2][4];
#pragma unroll
      for (int pair = 0; pair < value_tiles / 2; ++pair) {
        load_turned_matrices(values[pair],
                             value_tile() + (k + lane % 16) * tile::stride + first_dim + pair * 16 + lane / 16 * 8);
      }
#pragma unroll
      for (int i = 0; i < Tiles; ++i) {
#pragma unroll
        for (int part = 0; part < 2; ++part) {
          std::uint32_t p[4];
          load_matrices(p, s.p[part] + (i * 16 + lane % 16) * key_stride + k + lane / 16 * 8);
#pragma unroll
          for (int n = 0; n < value_tiles; ++n) mma(o[i][n], p, values[n / 2][n % 2 * 2], values[n / 2][n % 2 * 2 + 1]);
        }
      }
    }
  }

  // A value that is not finite would reach rows that do not see it, as 0 * infinity: its key's values become zeros, and
  // the rows that see the key NaN.
  __device__ void poison() {
    if (threadIdx.x < slice_keys) {
      __half* row = value_tile() + threadIdx.x * tile::stride;
      bool finite = true;
      for (int d = 0; d < Dims; ++d) finite = finite && (__half_as_ushort(row[d]) & 0x7c00u) != 0x7c00u;
      for (int d = 0; d < Dims && !finite; ++d) row[d] = __half();
      s.poisoned[threadIdx.x] = !finite;
    }
    __syncthreads();
  }

  // Slices [first, last]: visit(slice, m, l, o) with each one's numbers, o times p_scale. The next slice's keys and
  // values are on their way while this one's are worked on.
  template <class Visit>
  __device__ void attend(int first, int last, const Visit& visit) {
    share_slots(find_slot(first));
    fetch_keys(0);
    fetch_values();
    load_scales();
    load_queries(0);
    for (int slice = first; slice <= last; ++slice) {
      const bool more = slice < last, guarded = is_guarded(slice);
      const int next_slot = more ? find_slot(slice + 1) : -1;
      float scores[Tiles][key_tiles][4] = {}, m[Tiles][2], l[Tiles][2], o[Tiles][value_tiles][4] = {};
      wait_copies<1>();  // for the keys; the values may be on their way
      for (int dim = 0; dim < t.head_dim; dim += Dims) {
        if (t.head_dim > Dims) {
          load_queries(dim);
          if (dim > 0) fetch_keys(dim);
          if (dim > 0) wait_copies<0>();
        }
        __syncthreads();
        if (t.keys.coded) {
          decode(t.keys.id, raw_keys(), s.keys);
          __syncthreads();
        }
        add_scores(scores);
        __syncthreads();
      }
      if (more) {
        share_slots(next_slot);
        fetch_keys(0);
      }
      if (!guarded) weigh(slice, false, scores, m, l);
      if (more)
        wait_copies<1>();
      else
        wait_copies<0>();
      __syncthreads();
      if (t.values.coded) {
        decode(t.values.id, raw_values(), value_tile());
        __syncthreads();
      }
      if (guarded) {
        poison();
        weigh(slice, true, scores, m, l);
      }
      add_values(o);
      __syncthreads();
      if (more) fetch_values();
      visit(slice, m, l, o);
    }
  }

  // visit(row, dim, two values of o) for this thread's part.
  template <class Visit>
  __device__ void for_outputs(const float (&o)[Tiles][value_tiles][4], const Visit& visit) {
#pragma unroll
    for (int i = 0; i < Tiles; ++i) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const int row = i * 16 + h * 8 + lane / 4;
        if (row >= count) continue;
#pragma unroll
        for (int n = 0; n < value_tiles; ++n) {
          const int dim = out_dim + (warp * value_tiles + n) * 8 + lane % 4 * 2;
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            if (dim + e < t.head_dim) visit(i, h, row, dim + e, o[i][n][2 * h + e]);
          }
        }
      }
    }
  }
};

}  // namespace bq::cuda
