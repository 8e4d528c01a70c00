// Keys or values, some dims of one head, from the cache into a tile of f16 in shared memory.
//
// F16 comes by asynchronous copies in its place. Blocks come as they are into `raw`, in copies as wide as their
// addresses allow, and are decoded from there; other floats pass through registers. Rows of no slot are zero.
#pragma once
#include <cuda_fp16.h>

#include <tuple>

#include "arch.cuh"
#include "attention_task.hpp"
#include "formats/registry.hpp"

namespace bq::cuda {

// What a cache may hold: floats, and blocks of 32, of which every head is a whole number of runs.
template <class F>
inline constexpr bool is_cache_format = float_format<F> || (coded_format<F> && F::block_size == 32);

inline constexpr int run_dims = 32;

// Bytes of a raw row: a multiple of 16 with room for Dims / 32 of the largest blocks.
template <int Dims>
inline constexpr int raw_stride = (Dims / run_dims * 36 + 15) / 16 * 16;

// A block in registers, loaded from any address of shared memory. Offsets are to be known when compiling.
template <int Bytes>
struct register_source : word_access<register_source<Bytes>> {
  static constexpr int lanes = 1, count = (Bytes + 3) / 4;
  std::uint32_t words[count];

  __device__ explicit register_source(const unsigned char* p) {
    const unsigned past = static_cast<unsigned>(reinterpret_cast<std::uintptr_t>(p)) % 4, shift = past * 8;
    const auto* aligned = reinterpret_cast<const std::uint32_t*>(p - past);
    std::uint32_t low = aligned[0];
#pragma unroll
    for (int i = 0; i < count; ++i) {
      const std::uint32_t high = aligned[i + 1];
      words[i] = __funnelshift_r(low, high, shift);
      low = high;
    }
  }

  __device__ std::uint32_t load(int offset) const {
    const int i = offset / 4;
    return offset % 4 == 0 ? words[i] : __funnelshift_r(words[i], i + 1 < count ? words[i + 1] : 0, offset % 4 * 8);
  }
  __device__ std::uint32_t load16(int offset) const { return load(offset) & 0xffffu; }
  __device__ std::uint32_t load8(int offset) const { return load(offset) & 0xffu; }
  __device__ float f16(int offset) const {
    return __half2float(__ushort_as_half(static_cast<unsigned short>(load16(offset))));
  }
  __device__ float f32(int offset) const { return f32_from_bits(load(offset)); }
  __device__ float e8m0_half(int offset) const { return e8m0_half_to_f32(load8(offset)); }
  __device__ float ue4m3_half(int offset) const { return ue4m3_half_to_f32(load8(offset)); }

  __device__ static int unsigned_byte(std::uint32_t word, int index) {
    return block_source::unsigned_byte(word, index);
  }
  __device__ static std::uint32_t lookup(std::uint32_t index, const codebook16& table) {
    return block_source::lookup(index, table);
  }
};

// The four signed bytes of a word, exactly: 2^23 + 128 + byte has them in its lowest bits.
__device__ inline void bytes_to_floats(std::uint32_t word, float (&v)[4]) {
  const std::uint32_t positive = word ^ 0x80808080u;
#pragma unroll
  for (int i = 0; i < 4; ++i) v[i] = __uint_as_float(__byte_perm(positive, 0x4b000000u, 0x7440 + i)) - 0x1.0001p23f;
}

// One run of 32 values from a block that holds it, to f16: eight, from dim on, to at(dim).
template <class F, class S, class At>
__device__ void decode_run(const S& s, const At& at) {
  static_assert(F::group == run_dims);
  const float scale = group_scale<F>(s, 0), minimum = group_min<F>(s, 0);
#pragma unroll
  for (int w = 0; w < run_dims / 4; w += 2) {
    __half2 pairs[4];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float v[4];
      bytes_to_floats(signed_codes<F>(s, w + half), v);
#pragma unroll
      for (float& e : v) e = scale * e - minimum;
      pairs[2 * half] = __floats2half2_rn(v[0], v[1]);
      pairs[2 * half + 1] = __floats2half2_rn(v[2], v[3]);
    }
    *reinterpret_cast<uint4*>(at(4 * w)) = *reinterpret_cast<const uint4*>(pairs);
  }
}

// Who works on a tile, and where its values go, is said by a team:
//   keys, threads    how many; index() of the calling thread
//   slot(key)        negative where there is no key; all threads of a warp ask at once
//   at(key, dim)     eight f16 of the tile
//
// A thread block and its whole slice, f16 [slice_keys][Dims + 8].
template <int Dims>
struct block_tile {
  static constexpr int keys = slice_keys, threads = 2 * Dims, stride = Dims + 8;
  static constexpr int halves = keys * stride;
  static constexpr int raw_bytes = keys * raw_stride<Dims> + 16;  // words of two may reach beyond

  const int* slots;
  __half* tile;

  __device__ int index() const { return static_cast<int>(threadIdx.x); }
  __device__ int slot(int key) const { return slots[key]; }
  __device__ __half* at(int key, int dim) const { return tile + key * stride + dim; }
};

template <int Dims, class Team>
struct cache_rows {
  // Starts what can be asynchronous. `head` and `dim` are where the tile begins; dims [dim, dim + Dims) beyond head_dim
  // are zero. Blocks, if the cache may hold them, come to `raw`. Ends a group of copies.
  template <bool Coded = true>
  __device__ __forceinline__ static void fetch(const Team& team, const attention_task::cache& c, int head, int dim,
                                               int head_dim, unsigned char* raw) {
    visit(c.id, [&]<class F>(F) {
      const unsigned char* from = c.rows + head * c.head_bytes;
      const int dims = min(Dims, head_dim - dim);
      if constexpr (F::id == type::f16) {
        copy<16, 2 * Dims>(team, from + 2 * dim, c.stride, 2 * dims,
                           [&](int key, int at) { return reinterpret_cast<unsigned char*>(team.at(key, at / 2)); });
      } else if constexpr (float_format<F>) {
        convert<F>(team, from + static_cast<int>(sizeof(typename F::block)) * dim, c.stride, dims);
      } else if constexpr (Coded) {
        constexpr int size = sizeof(typename F::block), whole = Dims / run_dims * size;
        const int bytes = dims / run_dims * size;
        const std::int64_t at = head * c.head_bytes + dim / run_dims * size;
        const auto common = at | c.stride | bytes;
        const auto to = [&](int key, int byte) { return raw + key * raw_stride<Dims> + byte; };
        from += dim / run_dims * size;
        const auto in_pieces = [&]<int Unit>(std::integral_constant<int, Unit>) {
          if constexpr (whole % Unit == 0) {
            if (common % Unit == 0) return copy<Unit, whole>(team, from, c.stride, bytes, to), true;
          }
          return false;
        };
        if (in_pieces(std::integral_constant<int, 16>{}) || in_pieces(std::integral_constant<int, 8>{}) ||
            in_pieces(std::integral_constant<int, 4>{}))
          return;
        copy<1, whole>(team, from, c.stride, bytes, to);
      }
    });
    commit_copies();
  }

  // Makes f16 of what fetch() left raw. The team synchronises before and after.
  __device__ __forceinline__ static void decode(const Team& team, type id, const unsigned char* raw) {
    visit(id, [&]<class F>(F) {
      if constexpr (coded_format<F>) {
        constexpr int runs = Dims / run_dims;
#pragma unroll 1
        for (int i = team.index(); i < Team::keys * runs; i += Team::threads) {
          const int key = i / runs, run = i % runs;
          constexpr int size = sizeof(typename F::block);
          decode_run<F>(register_source<size>(raw + key * raw_stride<Dims> + run * size),
                        [&](int dim) { return team.at(key, run * run_dims + dim); });
        }
      }
    });
  }

 private:
  template <class Visit>
  __device__ __forceinline__ static void visit(type id, const Visit& call) {
    visit_list(id, call, static_cast<all_formats*>(nullptr));
  }
  template <class Visit, class... F>
  __device__ __forceinline__ static void visit_list(type id, const Visit& call, std::tuple<F...>*) {
    (visit_one<F>(id, call), ...);
  }
  template <class F, class Visit>
  __device__ __forceinline__ static void visit_one(type id, const Visit& call) {
    if constexpr (is_cache_format<F>) {
      if (F::id == id) call(F{});
    }
  }

  // `bytes` of each row, zeros up to Whole, in pieces of Unit.
  template <int Unit, int Whole, class To>
  __device__ __forceinline__ static void copy(const Team& team, const unsigned char* from, std::int64_t from_stride,
                                              int bytes, const To& to) {
    static_assert(Whole % Unit == 0);
    constexpr int pieces = Whole / Unit, all = Team::keys * pieces, rounds = ceil_div(all, Team::threads);
    const int index = team.index();
    int key = index / pieces, piece = index % pieces;
#pragma unroll(Unit == 16 ? rounds : 4)
    for (int i = 0; i < rounds; ++i) {
      if (all % Team::threads != 0 && i * Team::threads + index >= all) break;
      const int at = piece * Unit, slot = team.slot(key);
      unsigned char* target = to(key, at);
      const bool there = slot >= 0 && at < bytes;
      const unsigned char* source =
          from + std::uint64_t{static_cast<std::uint32_t>(max(slot, 0))} * static_cast<std::uint32_t>(from_stride) + at;
      if constexpr (Unit == 1)
        *target = there ? *source : 0;
      else
        copy_async<Unit>(target, source, there);
      key += Team::threads / pieces, piece += Team::threads % pieces;
      if (Team::threads % pieces != 0 && piece >= pieces) ++key, piece -= pieces;
    }
  }

  // Eight floats at a time; rows begin at multiples of their size, as heads are multiples of eight.
  template <class F>
  __device__ __forceinline__ static void convert(const Team& team, const unsigned char* from, std::int64_t from_stride,
                                                 int dims) {
    constexpr int size = sizeof(typename F::block), pieces = Dims / 8;
#pragma unroll 4
    for (int i = team.index(); i < Team::keys * pieces; i += Team::threads) {
      const int key = i / pieces, dim = i % pieces * 8, slot = team.slot(key);
      alignas(16) typename F::block packed[8];
      alignas(16) __half2 pairs[4] = {};
      if (slot >= 0 && dim < dims) {
        const auto* words = reinterpret_cast<const uint4*>(from + slot * from_stride + dim * size);
#pragma unroll
        for (int w = 0; w < size / 2; ++w) memcpy(reinterpret_cast<unsigned char*>(packed) + 16 * w, words + w, 16);
#pragma unroll
        for (int e = 0; e < 4; ++e)
          pairs[e] = __floats2half2_rn(F::decode(packed[2 * e]), F::decode(packed[2 * e + 1]));
      }
      *reinterpret_cast<uint4*>(team.at(key, dim)) = *reinterpret_cast<const uint4*>(pairs);
    }
  }
};

}  // namespace bq::cuda
