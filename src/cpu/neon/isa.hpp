// NEON with the dot product (Armv8.2, SDOT): 4 lanes. xsimd gives signed and float arithmetic; words are our own,
// because its shifts on NEON compare the distance with every constant.
#pragma once
#include <arm_neon.h>

#include <xsimd/xsimd.hpp>

#include "formats/format.hpp"

namespace bq::neon {

struct words {
  uint32x4_t v;

  BQ_HD words() = default;
  BQ_HD words(uint32x4_t lanes) : v(lanes) {}
  BQ_HD words(std::uint32_t all) : v(vdupq_n_u32(all)) {}

  BQ_HD friend words operator&(words a, words b) { return a.v & b.v; }
  BQ_HD friend words operator|(words a, words b) { return a.v | b.v; }
  BQ_HD friend words operator^(words a, words b) { return a.v ^ b.v; }
  BQ_HD friend words operator+(words a, words b) { return a.v + b.v; }
  BQ_HD friend words operator-(words a, words b) { return a.v - b.v; }
  BQ_HD friend words operator*(words a, words b) { return a.v * b.v; }
  BQ_HD friend words operator<<(words a, int n) { return a.v << n; }
  BQ_HD friend words operator>>(words a, int n) { return a.v >> n; }
};

struct isa {
  using arch = xsimd::neon64;
  using words = neon::words;
  using ints = xsimd::batch<std::int32_t, arch>;
  using reals = xsimd::batch<float, arch>;
  static constexpr int lanes = 4;
  // 24 accumulators, 6 vectors of weights and one of activations fill 31 of the 32 registers.
  static constexpr int strip = 6, tile = 6, accumulators = 24;

  // The dot product multiplies signed bytes, -128 among them.
  template <int /*code_bits*/>
  static constexpr bool unsigned_weights = false;

  template <bool Unsigned>
  BQ_HD static ints dot(ints acc, words weights, words x) {
    static_assert(!Unsigned);
    return vdotq_s32(acc, vreinterpretq_s8_u32(weights.v), vreinterpretq_s8_u32(x.v));
  }

  BQ_HD static words load32(const unsigned char* p) { return vreinterpretq_u32_u8(vld1q_u8(p)); }
  BQ_HD static words load16(const unsigned char* p) { return vmovl_u16(vreinterpret_u16_u8(vld1_u8(p))); }
  BQ_HD static words load8(const unsigned char* p) {
    return vmovl_u16(vget_low_u16(vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(load_word(p))))));
  }
  BQ_HD static reals load_f16(const unsigned char* p) { return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p))); }
  BQ_HD static void store(unsigned char* p, words w) { vst1q_u8(p, vreinterpretq_u8_u32(w.v)); }

  BQ_HD static words broadcast(const std::int8_t* x) { return load_word(x); }
  BQ_HD static reals load_reals(const float* p) { return vld1q_f32(p); }
  BQ_HD static void store(float* p, reals v) { vst1q_f32(p, v); }

  BQ_HD static reals as_reals(words w) { return vreinterpretq_f32_u32(w.v); }
  BQ_HD static words as_words(reals v) { return vreinterpretq_u32_f32(v); }
  BQ_HD static reals to_reals(words w) { return vcvtq_f32_u32(w.v); }
  BQ_HD static reals to_reals(ints v) { return vcvtq_f32_s32(v); }
  BQ_HD static words select(words mask, words a, words b) { return vbslq_u32(mask.v, a.v, b.v); }
  BQ_HD static words equal(words a, words b) { return vceqq_u32(a.v, b.v); }
  BQ_HD static words less(words a, words b) { return vcltq_u32(a.v, b.v); }
  BQ_HD static reals fma(reals a, reals b, reals c) { return vfmaq_f32(c, a, b); }
  BQ_HD static reals fnma(reals a, reals b, reals c) { return vfmsq_f32(c, a, b); }

  BQ_HD static reals signed_byte_to_reals(words w, int index) {
    return vcvtq_f32_s32(vshrq_n_s32(vreinterpretq_s32_u32((w << (24 - 8 * index)).v), 24));
  }

  BQ_HD static words lookup(words index, const codebook16& table) {
    return vreinterpretq_u32_u8(vqtbl1q_u8(vreinterpretq_u8_u32(vld1q_u32(table.word)), vreinterpretq_u8_u32(index.v)));
  }

  // table[index], of 16 entries.
  BQ_HD static reals lookup(const float* table, ints index) {
    const auto* bytes = reinterpret_cast<const unsigned char*>(table);
    const uint8x16x4_t entries{vld1q_u8(bytes), vld1q_u8(bytes + 16), vld1q_u8(bytes + 32), vld1q_u8(bytes + 48)};
    const uint32x4_t first = vmulq_n_u32(vreinterpretq_u32_s32(index), 0x04040404u);
    const uint32x4_t all = vaddq_u32(first, vdupq_n_u32(0x03020100u));
    return vreinterpretq_f32_u8(vqtbl4q_u8(entries, vreinterpretq_u8_u32(all)));
  }

  // 16 bytes at rows[i] + at, for 4 rows, as four vectors: vector j holds word j of every row.
  BQ_HD static void interleave16(const unsigned char* const* rows, std::int64_t at, unsigned char* out) {
    const uint32x4x4_t all{load32(rows[0] + at).v, load32(rows[1] + at).v, load32(rows[2] + at).v,
                           load32(rows[3] + at).v};
    vst4q_u32(reinterpret_cast<std::uint32_t*>(out), all);
  }

 private:
  BQ_HD static std::uint32_t load_word(const void* p) {
    std::uint32_t v;
    __builtin_memcpy(&v, p, 4);
    return v;
  }
};

}  // namespace bq::neon
