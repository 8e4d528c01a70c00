// From a tile's bytes in shared memory to A operands of the tensor core (mma m16n8k16, and wgmma with A in registers:
// warp i of the group takes the i-th tile of 64 rows). This fixes the numerics of every product on the GPU:
//
//   weight'      = round_f16(code * S - M), one fused multiply-add; codes enter as f16 subnormals, code * 2^-24; E2M1
//                  codes as code * 2^-15, with S * 2^-9 and no M
//   S            = round_f16(scale * f), M = round_f16(min * f * 2^-24) + zero * 2^-24 * S
//   f            a power of two for each row, which brings the row's largest |scale| into [2^14, 2^15) (row_factor.hpp)
//   activation'  = round_f16(activation * 2^e), e for each token, from the token's largest magnitude alone
//   sums         f32, by the tensor core, over the steps of 16 columns of a section of 1024 columns in their order;
//                then the sections, in f32, in their order: ((section 0 + section 1) + section 2) ...
//   output       = sum * (2^24 / f) * 2^-e
//
// Formats with an f16 scale per group and no minimum have S exactly: their weights are the exact values rounded to f16
// once. Scales that are products (K formats) are rounded to f16 before; F16 weights enter as they are,
// BF16 and F32 as round_f16(weight * f * 2^-24). f16 rounds in absolute steps of 2^-24 below 2^-14.
#pragma once
#include <type_traits>
#include <utility>

#include "arch.cuh"
#include "lane.hpp"

namespace bq::cuda {

template <class T>
__device__ __forceinline__ __half2 half2_of(T bits) {
  static_assert(sizeof(T) == sizeof(__half2));
  return *reinterpret_cast<const __half2*>(&bits);
}
__device__ __forceinline__ std::uint32_t bits_of(__half2 v) { return *reinterpret_cast<const std::uint32_t*>(&v); }

// A operands of tiles of format F. A warp first stages the scales of a tile: (S, -M) of every row and group as half2,
// S alone as half where there is no M, in `staged_bytes` of shared memory of its own; then any step can be asked for.
// Both want __syncwarp() around staging.
template <any_format F>
struct fragments {
  static constexpr int groups = [] {
    if constexpr (coded_format<F>) return tile_cols / F::group;
    return 0;
  }();
  static constexpr int pair_bytes = is_e2m1<F> ? 2 : 4, piece_groups = 16 / pair_bytes;
  static constexpr int staged_bytes = tile_rows * groups * pair_bytes;

  // f: the factor of row lane % 16.
  __device__ __forceinline__ static void stage(const unsigned char* tile_bytes, int lane, float f,
                                               unsigned char* staged) {
    if constexpr (groups > 0) {
      constexpr int share = groups > 1 ? groups / 2 : 1;  // of each lane: half of one row's groups
      const int row = lane % tile_rows, first = lane / tile_rows * share;
      if (first >= groups) return;
      static_assert(!has_min<F> || code_zero<F> == 0);
      std::uint32_t pairs[share * pair_bytes / 4];
      if constexpr (has_scales<F>) {
        scaled_pairs(unit_source<F>(tile_bytes, row, 0), first, f, pairs);
      } else if constexpr (is_e2m1<F>) {
        e2m1_scales(tile_bytes, row, first, f, pairs);
      } else {
        constexpr int block_groups = F::block_size / F::group;
#pragma unroll
        for (int i = 0; i < share; ++i) {
          const int g = first + i;
          const unit_source<F> s(tile_bytes, row, g / block_groups);
          const __half scale = __float2half_rn(F::d(s, g % block_groups) * f);
          __half bias = __hmul(scale, __ushort_as_half(code_zero<F>));
          if constexpr (has_min<F>) bias = __float2half_rn(F::dmin(s) * (f * code_unit));
          pairs[i] = bits_of(__halves2half2(scale, __hneg(bias)));
        }
      }
      unsigned char* to = staged + staged_at(row, first);
      if constexpr (share % piece_groups == 0) {
#pragma unroll
        for (int i = 0; i < share / piece_groups; ++i) {
          const uint4 piece = make_uint4(pairs[4 * i], pairs[4 * i + 1], pairs[4 * i + 2], pairs[4 * i + 3]);
          *reinterpret_cast<uint4*>(to + staged_at(0, i * piece_groups)) = piece;
        }
      } else if constexpr (share * pair_bytes == 8) {
        *reinterpret_cast<uint2*>(to) = make_uint2(pairs[0], pairs[1]);
      } else {
        static_assert(groups == 1);
        *reinterpret_cast<std::uint32_t*>(to) = pairs[0];
      }
    }
  }

  // Begins with a staged tile. f0, f1: the factors of rows lane / 4 and lane / 4 + 8, of formats without codes.
  __device__ __forceinline__ void open(const unsigned char* tile_bytes, const unsigned char* staged, int lane, float f0,
                                       float f1) {
    if constexpr (coded_format<F>) words_.load(tile_bytes, lane);
    tile_ = tile_bytes;
    staged_ = staged;
    lane_ = lane;
    factor_[0] = f0;
    factor_[1] = f1;
  }

  // The A operand of one step of 16 columns: a[0], a[2] of row lane / 4, a[1], a[3] of row lane / 4 + 8.
  template <int Step>
  __device__ __forceinline__ void load(std::uint32_t (&a)[4]) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      if constexpr (!coded_format<F>) {
        const unsigned char* at = tile_ + tile<F>::position(8 * half, Step * step_cols, 0) + lane_ * 16;
        load_floats(at, factor_[half] * code_unit, a[half], a[half + 2]);
      } else {
        const __half2 pair = half2_of(staged_pair<Step>(lane_ / 4 + 8 * half));
        const bool upper = is_e2m1<F> && Step * step_cols / F::group % 2;  // of two scales in a word
        const code_pairs codes(words_, tile_, lane_, half, Step, upper ? __high2half2(pair) : __low2half2(pair));
        if constexpr (is_e2m1<F>) {
          a[half] = bits_of(__hmul2(codes.first, codes.scale));
          a[half + 2] = bits_of(__hmul2(codes.second, codes.scale));
        } else {
          a[half] = bits_of(__hfma2(codes.first, codes.scale, __high2half2(pair)));
          a[half + 2] = bits_of(__hfma2(codes.second, codes.scale, __high2half2(pair)));
        }
      }
    }
  }

 private:
  struct nothing {};
  template <any_format G>
  struct words_of {
    using type = nothing;
  };
  template <coded_format G>
  struct words_of<G> {
    using type = lane_words<G>;
  };

  // Codes as f16 numbers, in pairs of columns, and the scale that goes with them. Subnormals: codes in place are larger
  // by a power of two, and the scale smaller. (Where that rounds, weights differ from -M by less than f16 can tell.)
  // E2M1: the upper bytes of f16 numbers with the same sign, lowest exponent bits and first bit of the mantissa.
  struct code_pairs {
    __half2 first, second, scale;
    __device__ __forceinline__ code_pairs(const lane_words<F>& words, const unsigned char* tile_bytes, int lane,
                                          int half, int step, __half2 s)
        : scale(s) {
      if constexpr (is_e2m1<F>) {
        constexpr std::uint32_t mask = 0x8e008e00u;
        const auto c = stored_codes<F>(words, tile_bytes, lane, half, step);
        const std::uint32_t bytes = c.upper ? c.word : choose(0x80808080u, c.word << 7, c.word >> 3);
        first = half2_of(bytes << 8 & mask);
        second = half2_of(bytes & mask);
      } else {
        take(lane_codes<F>(words, tile_bytes, lane, half, step));
      }
    }

   private:
    template <class Codes>
    __device__ __forceinline__ void take(const Codes& c) {
      if constexpr (std::is_same_v<Codes, code_halves>) {
        first = half2_of(c.first & c.mask << c.shift);
        second = half2_of(c.second & c.mask << c.shift);
        reduce(c.shift);
      } else if constexpr (std::is_same_v<Codes, codes_in_place>) {
        const std::uint32_t even = (c.mask & 0x00ff00ffu) << c.shift;
        first = half2_of(c.word & even);
        second = half2_of(c.word >> 8 & even);
        reduce(c.shift);
      } else {
        const std::uint32_t bytes = c;
        first = half2_of(__byte_perm(bytes, 0, 0x4240));
        second = half2_of(__byte_perm(bytes, 0, 0x4341));
      }
    }
    __device__ __forceinline__ void reduce(int shift) {
      if (shift > 0 && !has_scales<F>) scale = __hmul2(scale, half2_of(0x00010001u * power_bits(-shift)));
    }
  };
  static constexpr float code_unit = 0x1p-24f;             // codes become f16 subnormals
  static constexpr float e2m1_unit = code_unit * 0x1p15f;  // E2M1 codes become code * 2^-15

  __device__ __forceinline__ static constexpr std::uint32_t power_bits(int exponent) {  // 2^exponent as f16
    return static_cast<std::uint32_t>(15 + exponent) << 10;
  }
  // The lowest bit of codes of this step in their bytes.
  __device__ __forceinline__ static int place_of(int step) {
    const auto codes = stored_codes<F>(lane_words<F>{}, nullptr, 0, 0, step);
    if constexpr (std::is_same_v<decltype(codes), const codes_in_place>) return codes.shift;
    return 0;
  }

  // (S, -M) of `Share` groups whose scales are bytes, two groups at a time: a byte b beside 0x64 is the f16 1024 + b.
  // The codes of a group lie in one place, and those of the other half of the row in the same ones: S is made smaller
  // here.
  template <class Source, int Share>
  __device__ __forceinline__ static void scaled_pairs(const Source& s, int first, float f,
                                                      std::uint32_t (&pairs)[Share]) {
    static_assert(Share % 4 == 0 && F::block_size == tile_cols);
    const __half2 d = __float2half2_rn(F::d(s, 0) * f);
#pragma unroll
    for (int w = 0; w < Share / 4; ++w) {
      const std::uint32_t scales = F::scales(s, first / 4 + w) ^ 0x80808080u;
      std::uint32_t mins = 0;
      if constexpr (has_mins<F>) mins = F::mins(s, first / 4 + w);
#pragma unroll
      for (int two = 0; two < 2; ++two) {
        const auto above_1024 = [&](std::uint32_t bytes) {
          return half2_of(__byte_perm(0x64646464u, bytes, two ? 0x0706 : 0x0504));
        };
        __half2 scale = __hmul2(__hadd2(above_1024(scales), __float2half2_rn(-1024.0f - 128.0f)), d);
        __half2 bias;
        if constexpr (has_mins<F>) {
          const __half2 k =
              __hfma2(above_1024(mins), __float2half2_rn(1 / min_unit), __float2half2_rn(-1024 / min_unit));
          bias = __hmul2(k, __float2half2_rn(F::dmin(s) * (f * (-code_unit * min_unit))));
        } else {
          bias = __hmul2(scale, __half2half2(__ushort_as_half(0x8000u | code_zero<F>)));
        }
        constexpr int group_steps = F::group / step_cols;
        const int place = place_of((4 * w + 2 * two) * group_steps),
                  next = place_of((4 * w + 2 * two + 1) * group_steps);
        if (place > 0 || next > 0) scale = __hmul2(scale, half2_of(power_bits(-place) | power_bits(-next) << 16));
        pairs[4 * w + 2 * two] = __byte_perm(bits_of(scale), bits_of(bias), 0x5410);
        pairs[4 * w + 2 * two + 1] = __byte_perm(bits_of(scale), bits_of(bias), 0x7632);
      }
    }
  }

  // S * 2^-9 of `Words` * 2 groups.
  template <int Words>
  __device__ __forceinline__ static void e2m1_scales(const unsigned char* tile_bytes, int row, int first, float f,
                                                     std::uint32_t (&pairs)[Words]) {
    constexpr int block_groups = F::block_size / F::group;
    if constexpr (block_groups == 1) {
      const float unit = f * e2m1_unit;
#pragma unroll
      for (int i = 0; i < Words; ++i) {
        const unit_source<F> low(tile_bytes, row, first + 2 * i), high(tile_bytes, row, first + 2 * i + 1);
        pairs[i] = bits_of(__floats2half2_rn(F::d(low, 0) * unit, F::d(high, 0) * unit));
      }
    } else {
#pragma unroll
      for (int i = 0; i < Words; ++i) {
        const unit_source<F> s(tile_bytes, row, (first + 2 * i) / block_groups);
        const half_scales two{s.load(0), (first + 2 * i) % block_groups};
        pairs[i] = bits_of(__hmul2(F::d(two, 0), __float2half2_rn(f * (e2m1_unit * half_scales::unit))));
      }
    }
  }
  // UE4M3 scales of two groups, `first` and the next one, beside each other in a word of four: each is 2^7 times the
  // f16 with its bits, of which 2^11 comes first, so that both factors fit f16.
  struct half_scales {
    std::uint32_t word;
    int first;
    static constexpr float unit = 0x1p-4f;  // what is left

    __device__ __forceinline__ __half2 ue4m3_half(int) const {
      constexpr std::uint32_t nan = 0x7f7f7f7fu;
      const std::uint32_t numbers = (((word ^ nan) & nan) + nan) | (word ^ nan);  // upper bits: none where NaN
      std::uint32_t keep;
      asm("prmt.b32 %0, %1, 0, 0xba98;" : "=r"(keep) : "r"(numbers));
      const std::uint32_t bytes = __byte_perm(word & keep, 0, first == 0 ? 0x1404 : 0x3424);
      return __hmul2(half2_of(bytes >> 1 & 0x3f803f80u), __float2half2_rn(0x1p11f));
    }
  };
  static constexpr float min_unit = 64;  // keeps dmin * f * 2^-24 out of f16's subnormals

  typename words_of<F>::type words_;
  const unsigned char *tile_, *staged_;
  int lane_;
  float factor_[2];

  // Pieces of 16 bytes, of all rows beside one another: without conflicts of banks.
  __device__ __forceinline__ static constexpr int staged_at(int row, int group) {
    if (groups == 1) return row * pair_bytes;
    return (group / piece_groups * tile_rows + row) * 16 + group % piece_groups * pair_bytes;
  }
  template <int Step>
  __device__ __forceinline__ std::uint32_t staged_pair(int row) const {
    constexpr int group = Step * step_cols / F::group, word = group % piece_groups * pair_bytes / 4;
    if constexpr (groups > 1) {
      const uint4 four = *reinterpret_cast<const uint4*>(staged_ + staged_at(row, group / piece_groups * piece_groups));
      return word == 0 ? four.x : word == 1 ? four.y : word == 2 ? four.z : four.w;
    } else {
      return *reinterpret_cast<const std::uint32_t*>(staged_ + staged_at(row, 0));
    }
  }

  // Four weights of a row. F16's factor is one.
  __device__ __forceinline__ static void load_floats(const unsigned char* at, float factor, std::uint32_t& low,
                                                     std::uint32_t& high) {
    if constexpr (F::id == type::f16) {
      const uint2 words = *reinterpret_cast<const uint2*>(at);
      low = words.x;
      high = words.y;
    } else {
      float x[4];
      if constexpr (sizeof(typename F::block) == 4) {
        const float4 v = *reinterpret_cast<const float4*>(at);
        x[0] = v.x, x[1] = v.y, x[2] = v.z, x[3] = v.w;
      } else {
        const uint2 v = *reinterpret_cast<const uint2*>(at);
        x[0] = bf16_to_f32(v.x & 0xffffu), x[1] = bf16_to_f32(v.x >> 16);
        x[2] = bf16_to_f32(v.y & 0xffffu), x[3] = bf16_to_f32(v.y >> 16);
      }
      low = bits_of(__floats2half2_rn(x[0] * factor, x[1] * factor));
      high = bits_of(__floats2half2_rn(x[2] * factor, x[3] * factor));
    }
  }
};

// visit(std::integral_constant<int, step>) for the steps of a tile in order.
template <class Visit>
__device__ __forceinline__ void for_each_step(Visit visit) {
  [&]<int... Step>(std::integer_sequence<int, Step...>) { (visit(std::integral_constant<int, Step>{}), ...); }
  (std::make_integer_sequence<int, tile_steps>{});
}

}  // namespace bq::cuda
