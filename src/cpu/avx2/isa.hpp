// AVX2 with FMA and F16C: 8 lanes. xsimd gives registers and arithmetic; what it lacks is here: the int8 dot product,
// f16 loads, the 16-byte interleave of 8 rows, and byte look-up.
#pragma once
#include <immintrin.h>

#include <xsimd/xsimd.hpp>

#include "formats/format.hpp"

namespace bq::avx2 {

struct isa {
  using arch = xsimd::fma3<xsimd::avx2>;
  using words = xsimd::batch<std::uint32_t, arch>;
  using ints = xsimd::batch<std::int32_t, arch>;
  using reals = xsimd::batch<float, arch>;
  static constexpr int lanes = 8;
  // Vectors of rows in a strip of weights, and in a tile; vectors that a tile accumulates in.
  static constexpr int strip = 4, tile = 2, accumulators = 8;
  static constexpr int woven_tokens = 0;  // of a tile whose runs overlap; 0: registers do not suffice
  static constexpr int float_tokens = 3;  // with 4 rows in a tile of floats

  // Pairs of products are summed in 16 bits with saturation: unsigned codes must be below 128. Others go as signed
  // bytes, with their sign moved to the activations.
  template <int code_bits>
  static constexpr bool unsigned_weights = code_bits <= 7;

  template <bool Unsigned>
  BQ_HD static ints dot(ints acc, words weights, words x) {
    __m256i pairs;
    if constexpr (Unsigned)
      pairs = _mm256_maddubs_epi16(weights, x);
    else
      pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(x, weights));
    return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }

  BQ_HD static words load32(const unsigned char* p) { return load256(p); }
  BQ_HD static words load16(const unsigned char* p) { return _mm256_cvtepu16_epi32(load128(p)); }
  BQ_HD static words load8(const unsigned char* p) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  }
  // The upper half of a below the lower half of b. Neighbours share a rotation.
  BQ_HD static words middle(words a, words b) {
    const __m256i halves =
        _mm256_setr_epi64x(0x0504070601000302, 0x0d0c0f0e09080b0a, 0x0504070601000302, 0x0d0c0f0e09080b0a);
    return _mm256_blend_epi16(_mm256_shuffle_epi8(a, halves), _mm256_shuffle_epi8(b, halves), 0xaa);
  }
  BQ_HD static reals f16_to_reals(words w) {
    const __m256i packed = _mm256_packus_epi32(w, w);  // in each half
    return _mm256_cvtph_ps(_mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08)));
  }
  BQ_HD static void store(unsigned char* p, words v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }

  BQ_HD static words broadcast(const std::int8_t* x) { return _mm256_set1_epi32(load_int(x)); }
  BQ_HD static reals load_reals(const float* p) { return _mm256_loadu_ps(p); }
  BQ_HD static void store(float* p, reals v) { _mm256_storeu_ps(p, v); }

  BQ_HD static reals as_reals(words v) { return _mm256_castsi256_ps(v); }
  BQ_HD static words as_words(reals v) { return _mm256_castps_si256(v); }
  BQ_HD static reals to_reals(words v) { return _mm256_cvtepi32_ps(v); }  // values below 2^31
  BQ_HD static reals to_reals(ints v) { return _mm256_cvtepi32_ps(v); }
  BQ_HD static words select(words mask, words a, words b) { return _mm256_blendv_epi8(b, a, mask); }
  BQ_HD static reals select(reals::batch_bool_type mask, reals a, reals b) { return _mm256_blendv_ps(b, a, mask); }
  BQ_HD static words equal(words a, std::uint32_t b) { return _mm256_cmpeq_epi32(a, words(b)); }
  BQ_HD static words less(words a, std::uint32_t b) { return _mm256_cmpgt_epi32(words(b), a); }  // values below 2^31
  BQ_HD static reals fma(reals a, reals b, reals c) { return _mm256_fmadd_ps(a, b, c); }
  BQ_HD static reals fnma(reals a, reals b, reals c) { return _mm256_fnmadd_ps(a, b, c); }

  BQ_HD static words max(words a, words b) { return _mm256_max_epu32(a, b); }
  BQ_HD static ints round(reals v) { return _mm256_cvtps_epi32(v); }  // to nearest even

  // Lane i of the result combines all lanes of v[i], as a tree of halves.
  template <class Vector, class Combine>
  BQ_HD static Vector across(const Vector* v, const Combine& combine) {
    Vector half[4];  // 128-bit lane k: what is left of v[4k + i]
    for (int i = 0; i < 4; ++i) {
      const __m256i a = v[i], b = v[4 + i];
      half[i] = combine(Vector(_mm256_permute2x128_si256(a, b, 0x20)), Vector(_mm256_permute2x128_si256(a, b, 0x31)));
    }
    const auto words_of = [&](__m256i a, __m256i b) {
      return combine(Vector(_mm256_unpacklo_epi32(a, b)), Vector(_mm256_unpackhi_epi32(a, b)));
    };
    const __m256i a = words_of(half[0], half[1]), b = words_of(half[2], half[3]);
    return combine(Vector(_mm256_unpacklo_epi64(a, b)), Vector(_mm256_unpackhi_epi64(a, b)));
  }

  // 32 lanes that fit a byte.
  BQ_HD static void store_bytes(std::int8_t* p, const ints* v) {
    const __m256i mixed = _mm256_packs_epi16(_mm256_packs_epi32(v[0], v[1]), _mm256_packs_epi32(v[2], v[3]));
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permutevar8x32_epi32(mixed, order));
  }

  BQ_HD static ints signed_byte_to_ints(words v, int index) {
    return _mm256_srai_epi32(_mm256_slli_epi32(v, 24 - 8 * index), 24);
  }
  BQ_HD static reals signed_byte_to_reals(words v, int index) { return to_reals(signed_byte_to_ints(v, index)); }

  BQ_HD static words lookup(words index, const codebook16& table) {
    const __m128i entries = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table.word));
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(entries), index);
  }

  // table[index], of 16 entries.
  BQ_HD static reals lookup(const float* table, ints index) {
    const __m256 low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table), index);
    const __m256 high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table + 8), index);
    return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(index, 28)));
  }

  // 16 bytes at rows[i] + at, for 8 rows, as four vectors: vector j holds word j of every row.
  BQ_HD static void interleave16(const unsigned char* const* rows, std::int64_t at, unsigned char* out) {
    __m256i row[4];  // 128-bit lane k of row[i]: row 4k + i
    for (int i = 0; i < 4; ++i) {
      row[i] = _mm256_inserti128_si256(_mm256_castsi128_si256(load128(rows[i] + at)), load128(rows[4 + i] + at), 1);
    }
    const __m256i a = _mm256_unpacklo_epi32(row[0], row[1]), b = _mm256_unpacklo_epi32(row[2], row[3]);
    const __m256i c = _mm256_unpackhi_epi32(row[0], row[1]), d = _mm256_unpackhi_epi32(row[2], row[3]);
    store(out, _mm256_unpacklo_epi64(a, b));
    store(out + 32, _mm256_unpackhi_epi64(a, b));
    store(out + 64, _mm256_unpacklo_epi64(c, d));
    store(out + 96, _mm256_unpackhi_epi64(c, d));
  }

 private:
  BQ_HD static int load_int(const std::int8_t* p) {
    int v;
    __builtin_memcpy(&v, p, 4);
    return v;
  }
  BQ_HD static __m128i load128(const unsigned char* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
  BQ_HD static __m256i load256(const unsigned char* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
};

}  // namespace bq::avx2
