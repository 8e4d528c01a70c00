// AVX-512 (F, BW, VL, DQ) with VNNI: 16 lanes. xsimd gives registers and arithmetic; what it lacks is here: the int8
// dot product, f16 loads, the 16-byte interleave of 16 rows, and byte look-up.
#pragma once
#include <immintrin.h>

#include <xsimd/xsimd.hpp>

#include "formats/format.hpp"

namespace bq::avx512 {

struct isa {
  using arch = xsimd::avx512bw;
  using words = xsimd::batch<std::uint32_t, arch>;
  using ints = xsimd::batch<std::int32_t, arch>;
  using reals = xsimd::batch<float, arch>;
  static constexpr int lanes = 16;
  // Vectors of rows in a strip of weights, and in a tile; vectors that a tile accumulates in.
  static constexpr int strip = 4, tile = 2, accumulators = 16;
  static constexpr int woven_tokens = 4;  // of a tile whose runs overlap; 0: registers do not suffice
  static constexpr int float_tokens = 6;  // with 4 rows in a tile of floats

  // The dot product multiplies unsigned bytes of weights, whatever their range.
  template <int /*code_bits*/>
  static constexpr bool unsigned_weights = true;

  template <bool /*Unsigned*/>
  BQ_HD static ints dot(ints acc, words weights, words x) {
    return _mm512_dpbusd_epi32(acc, weights, x);
  }

  BQ_HD static words load32(const unsigned char* p) { return _mm512_loadu_si512(p); }
  BQ_HD static words load16(const unsigned char* p) {
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  BQ_HD static words load8(const unsigned char* p) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  // The upper half of a below the lower half of b. Neighbours share a rotation.
  BQ_HD static words middle(words a, words b) {
    return _mm512_ternarylogic_epi32(_mm512_rol_epi32(a, 16), _mm512_rol_epi32(b, 16), words(0xffffu), 0xe4);
  }
  BQ_HD static reals f16_to_reals(words w) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(w)); }
  BQ_HD static void store(unsigned char* p, words v) { _mm512_storeu_si512(p, v); }

  BQ_HD static words broadcast(const std::int8_t* x) { return _mm512_set1_epi32(load_int(x)); }
  BQ_HD static reals load_reals(const float* p) { return _mm512_loadu_ps(p); }
  BQ_HD static void store(float* p, reals v) { _mm512_storeu_ps(p, v); }

  BQ_HD static reals as_reals(words v) { return _mm512_castsi512_ps(v); }
  BQ_HD static words as_words(reals v) { return _mm512_castps_si512(v); }
  BQ_HD static reals to_reals(words v) { return _mm512_cvtepi32_ps(v); }  // values below 2^31
  BQ_HD static reals to_reals(ints v) { return _mm512_cvtepi32_ps(v); }
  BQ_HD static words select(__mmask16 m, words a, words b) { return _mm512_mask_blend_epi32(m, b, a); }
  BQ_HD static reals select(reals::batch_bool_type m, reals a, reals b) { return _mm512_mask_blend_ps(m, b, a); }
  BQ_HD static __mmask16 equal(words a, std::uint32_t b) { return _mm512_cmpeq_epu32_mask(a, words(b)); }
  BQ_HD static __mmask16 less(words a, std::uint32_t b) { return _mm512_cmplt_epu32_mask(a, words(b)); }
  BQ_HD static reals scaled(reals v, reals k) { return _mm512_scalef_ps(v, k); }  // v * 2^k, beside multiplications
  BQ_HD static reals fma(reals a, reals b, reals c) { return _mm512_fmadd_ps(a, b, c); }
  BQ_HD static reals fnma(reals a, reals b, reals c) { return _mm512_fnmadd_ps(a, b, c); }

  BQ_HD static words max(words a, words b) { return _mm512_max_epu32(a, b); }
  BQ_HD static ints round(reals v) { return _mm512_cvtps_epi32(v); }  // to nearest even

  // Lane i of the result combines all lanes of v[i], as a tree of halves.
  template <class Vector, class Combine>
  BQ_HD static Vector across(const Vector* v, const Combine& combine) {
    const auto halves = [&](__m512i a, __m512i b) {
      return combine(Vector(_mm512_shuffle_i64x2(a, b, 0x44)), Vector(_mm512_shuffle_i64x2(a, b, 0xee)));
    };
    Vector quarter[4];  // 128-bit lane k: what is left of v[4k + i]
    for (int i = 0; i < 4; ++i) {
      const __m512i a = halves(v[i], v[4 + i]), b = halves(v[8 + i], v[12 + i]);
      quarter[i] = combine(Vector(_mm512_shuffle_i64x2(a, b, 0x88)), Vector(_mm512_shuffle_i64x2(a, b, 0xdd)));
    }
    const auto words_of = [&](__m512i a, __m512i b) {
      return combine(Vector(_mm512_unpacklo_epi32(a, b)), Vector(_mm512_unpackhi_epi32(a, b)));
    };
    const __m512i a = words_of(quarter[0], quarter[1]), b = words_of(quarter[2], quarter[3]);
    return combine(Vector(_mm512_unpacklo_epi64(a, b)), Vector(_mm512_unpackhi_epi64(a, b)));
  }

  // The low bytes of 32 lanes.
  BQ_HD static void store_bytes(std::int8_t* p, const ints* v) {
    for (int i = 0; i < 2; ++i) _mm_storeu_si128(reinterpret_cast<__m128i*>(p) + i, _mm512_cvtepi32_epi8(v[i]));
  }

  BQ_HD static ints signed_byte_to_ints(words v, int index) {
    return _mm512_srai_epi32(_mm512_slli_epi32(v, static_cast<unsigned>(24 - 8 * index)), 24);
  }
  BQ_HD static reals signed_byte_to_reals(words v, int index) { return to_reals(signed_byte_to_ints(v, index)); }

  BQ_HD static words lookup(words index, const codebook16& table) {
    const __m128i entries = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table.word));
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(entries), index);
  }

  // The lowest four bits of a lane, each as a byte.
  BQ_HD static words spread(words v) {
    return _mm512_permutexvar_epi32(
        v, _mm512_setr_epi32(0, 0x1, 0x100, 0x101, 0x10000, 0x10001, 0x10100, 0x10101, 0x1000000, 0x1000001, 0x1000100,
                             0x1000101, 0x1010000, 0x1010001, 0x1010100, 0x1010101));
  }

  // table[index], of 16 entries.
  BQ_HD static reals lookup(const float* table, ints index) {
    return _mm512_permutexvar_ps(index, _mm512_loadu_ps(table));
  }

  // 16 bytes at rows[i] + at, for 16 rows, as four vectors: vector j holds word j of every row.
  BQ_HD static void interleave16(const unsigned char* const* rows, std::int64_t at, unsigned char* out) {
    __m512i row[4];  // 128-bit lane k of row[i]: row 4k + i
    for (int i = 0; i < 4; ++i) {
      row[i] = _mm512_castsi128_si512(load128(rows[i] + at));
      row[i] = _mm512_inserti32x4(row[i], load128(rows[4 + i] + at), 1);
      row[i] = _mm512_inserti32x4(row[i], load128(rows[8 + i] + at), 2);
      row[i] = _mm512_inserti32x4(row[i], load128(rows[12 + i] + at), 3);
    }
    const __m512i a = _mm512_unpacklo_epi32(row[0], row[1]), b = _mm512_unpacklo_epi32(row[2], row[3]);
    const __m512i c = _mm512_unpackhi_epi32(row[0], row[1]), d = _mm512_unpackhi_epi32(row[2], row[3]);
    _mm512_storeu_si512(out, _mm512_unpacklo_epi64(a, b));
    _mm512_storeu_si512(out + 64, _mm512_unpackhi_epi64(a, b));
    _mm512_storeu_si512(out + 128, _mm512_unpacklo_epi64(c, d));
    _mm512_storeu_si512(out + 192, _mm512_unpackhi_epi64(c, d));
  }

 private:
  BQ_HD static int load_int(const std::int8_t* p) {
    int v;
    __builtin_memcpy(&v, p, 4);
    return v;
  }
  BQ_HD static __m128i load128(const unsigned char* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
};

}  // namespace bq::avx512
