// The contract between a format and everything derived from it.
//
// Every block format is two-level affine: weight[i] = (d(g) * scale[g]) * code[i] - dmin * min[g], with i in group g. A
// format states where the pieces lie, on 32-bit words with & | << >>, as templates over a word source S
// (formats/word.hpp: one word of one block for scalar code and CUDA threads; several words, or the same word of several
// rows, for SIMD):
//
//   name, id             GGUF's spelling and number
//   block_size, group    weights per block; weights per scale (a multiple of 4)
//   code_bits, zero      codes are unsigned bytes below 2^code_bits; the signed code is code - zero, or codebook[code]
//   struct block         the bytes, with a drawing, packed: blocks lie at any address in files; planes() lists its
//   fields for
//                        repacking and byte order
//   codes(s, w)          word w of the codes: weights 4w .. 4w+3, one byte each, first weight in the lowest byte
//   d(s, g)              f32 factor of group g
//   scales(s, w)         optional: signed bytes, scales of groups 4w .. 4w+3, packed in one word
//   scale_low, scale_high  optional: the range of those bytes, where scale * code fits a byte too
//   dmin(s), mins(s, w)  optional: as d and scales for the subtracted minimum, unsigned bytes; without mins() all are 1
//   codebook()           optional: the 16 signed bytes that codes index, as four words
//   valid(s)             optional: false when scale bytes mean "not a number" though d(s, g) is finite
//   quantize<L>(x, importance, out)  the reference quantiser of one block in each lane of L (formats/lanes.hpp): x
//                        [block_size], a block_importance and where to write. Built without FMA contraction.
//   uses_importance      optional: true when importance changes the bytes
//   uses_row_mean_square optional: true when these need the mean square of the block's row
//   activation_only      optional: true for what files never hold
//   max_rmse             the quantiser's RMS error on Gaussian weights, relative to their RMS, is below this
//
// Float formats (f32, f16, bf16) have no codes: they give block_size 1, decode(block) and encode(x) instead.
#pragma once
#include <concepts>
#include <cstddef>
#include <cstdint>

#include "type.hpp"

// BQ_HD marks what runs on host and device. On the host it forces inlining, because the linker merges inline functions
// of units built for different instruction sets. BQ_BOTH does not: it marks templates named after a unit's lanes.
// BQ_DEVICE is set while device code is being generated.
#if defined(__CUDACC__)
#define BQ_HD __host__ __device__ __forceinline__
#define BQ_BOTH __host__ __device__
#else
#define BQ_HD [[gnu::always_inline]] inline
#define BQ_BOTH
#endif
#if defined(__CUDA_ARCH__)
#define BQ_DEVICE 1
#endif

namespace bq {

// One field of a block, for whoever moves blocks without understanding them. `unit` is the size in bytes that stays
// together when blocks of several rows are interleaved; `number` says that a unit is one multi-byte number, which has
// to be swapped in files of the other byte order.
struct plane {
  int offset, bytes, unit;
  bool number;
};

// Four bytes to a word: 16 signed codebook entries, entry 0 in the lowest byte of `word[0]`.
struct codebook16 {
  std::uint32_t word[4];
};

template <class F>
concept any_format = requires {
  typename F::block;
  { F::name } -> std::convertible_to<const char*>;
  { F::id } -> std::convertible_to<type>;
  { F::block_size } -> std::convertible_to<int>;
  { F::max_rmse } -> std::convertible_to<float>;
  F::planes();
};

template <class F>
concept float_format = any_format<F> && F::block_size == 1 && requires(typename F::block b) {
  { F::decode(b) } -> std::same_as<float>;
  { F::encode(1.0f) } -> std::same_as<typename F::block>;
};

template <class F>
concept coded_format = any_format<F> && !float_format<F> && requires {
  { F::group } -> std::convertible_to<int>;
  { F::code_bits } -> std::convertible_to<int>;
  { F::zero } -> std::convertible_to<int>;
}
&&F::block_size % F::group == 0 && F::group % 4 == 0;

template <class F>
concept small_scale_format = coded_format<F> && requires {
  F::scale_low, F::scale_high;
};

// A block of 256 can be one sum of integers, when the activations that it meets share a scale: scale * code fits a
// byte, or there is one scale.
template <class F>
concept wide_format = coded_format<F> && F::block_size == 256 && (small_scale_format<F> || F::group == F::block_size);

// How activations that meet such weights are scaled. Rounding to powers of two costs little where the weights' own
// error is larger: below 8 bits.
template <coded_format F>
inline constexpr activation_scaling scaling_of = wide_format<F>      ? activation_scaling::shared
                                                 : F::code_bits >= 8 ? activation_scaling::own
                                                                     : activation_scaling::powers;

template <class F>
concept importance_format = any_format<F> && requires {
  requires F::uses_importance;
};

template <class F>
concept activation_format = any_format<F> && requires {
  requires F::activation_only;
};

}  // namespace bq
