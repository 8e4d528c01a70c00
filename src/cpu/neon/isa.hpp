// NEON with the dot product (Armv8.2, SDOT): 4 lanes, with the compiler's own vector operators. xsimd 8.1 has them too,
// but on NEON its f32 quotients and square roots are approximations, and its shifts compare the distance with every
// constant.
#pragma once
#include <arm_neon.h>

#include "formats/format.hpp"

namespace bq::neon {

// All bits of a lane, or none.
struct mask {
  uint32x4_t v;

  BQ_HD mask() = default;
  BQ_HD explicit mask(uint32x4_t lanes) : v(lanes) {}
  BQ_HD explicit mask(bool all) : v(vdupq_n_u32(all ? ~0u : 0u)) {}

  BQ_HD friend mask operator&&(mask a, mask b) { return mask(a.v & b.v); }
  BQ_HD friend mask operator||(mask a, mask b) { return mask(a.v | b.v); }
  BQ_HD friend mask operator!(mask a) { return mask(~a.v); }
};

template <class Scalar, class Register>
struct vector {
  using batch_bool_type = mask;
  Register v;

  BQ_HD vector() = default;
  BQ_HD vector(Register lanes) : v(lanes) {}
  BQ_HD vector(Scalar all) : v(Register{all, all, all, all}) {}

  BQ_HD friend vector operator+(vector a, vector b) { return a.v + b.v; }
  BQ_HD friend vector operator-(vector a, vector b) { return a.v - b.v; }
  BQ_HD friend vector operator-(vector a) { return -a.v; }
  BQ_HD friend vector operator*(vector a, vector b) { return a.v * b.v; }
  BQ_HD friend vector operator/(vector a, vector b) { return a.v / b.v; }
  BQ_HD friend vector operator&(vector a, vector b) { return a.v & b.v; }
  BQ_HD friend vector operator|(vector a, vector b) { return a.v | b.v; }
  BQ_HD friend vector operator^(vector a, vector b) { return a.v ^ b.v; }
  BQ_HD friend vector operator<<(vector a, int n) { return a.v << n; }
  BQ_HD friend vector operator>>(vector a, int n) { return a.v >> n; }
  BQ_HD friend mask operator==(vector a, vector b) { return mask(reinterpret_cast<uint32x4_t>(a.v == b.v)); }
  BQ_HD friend mask operator<(vector a, vector b) { return mask(reinterpret_cast<uint32x4_t>(a.v < b.v)); }
  BQ_HD friend mask operator<=(vector a, vector b) { return mask(reinterpret_cast<uint32x4_t>(a.v <= b.v)); }
  BQ_HD friend mask operator>(vector a, vector b) { return b < a; }
  BQ_HD friend mask operator>=(vector a, vector b) { return b <= a; }
};

struct isa {
  using words = vector<std::uint32_t, uint32x4_t>;
  using ints = vector<std::int32_t, int32x4_t>;
  using reals = vector<float, float32x4_t>;
  static constexpr int lanes = 4;
  // 24 accumulators, 6 vectors of weights and one of activations fill 31 of the 32 registers.
  static constexpr int strip = 6, tile = 6, accumulators = 24;
  static constexpr int woven_tokens = 0;  // of a tile whose runs overlap; 0: registers do not suffice
  static constexpr int float_tokens = 6;  // with 4 rows in a tile of floats

  // The dot product multiplies signed bytes, -128 among them.
  template <int /*code_bits*/>
  static constexpr bool unsigned_weights = false;

  template <bool Unsigned>
  BQ_HD static ints dot(ints acc, words weights, words x) {
    static_assert(!Unsigned);
    return vdotq_s32(acc.v, vreinterpretq_s8_u32(weights.v), vreinterpretq_s8_u32(x.v));
  }

  BQ_HD static words load32(const unsigned char* p) { return vreinterpretq_u32_u8(vld1q_u8(p)); }
  BQ_HD static words load16(const unsigned char* p) { return vmovl_u16(vreinterpret_u16_u8(vld1_u8(p))); }
  BQ_HD static words load8(const unsigned char* p) {
    return vmovl_u16(vget_low_u16(vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(load_word(p))))));
  }
  // The upper half of a below the lower half of b.
  BQ_HD static words middle(words a, words b) { return vsliq_n_u32(vshrq_n_u32(a.v, 16), b.v, 16); }
  BQ_HD static reals f16_to_reals(words w) { return vcvt_f32_f16(vreinterpret_f16_u16(vmovn_u32(w.v))); }
  BQ_HD static void store(unsigned char* p, words w) { vst1q_u8(p, vreinterpretq_u8_u32(w.v)); }

  BQ_HD static words broadcast(const std::int8_t* x) { return load_word(x); }
  BQ_HD static reals load_reals(const float* p) { return vld1q_f32(p); }
  BQ_HD static void store(float* p, reals r) { vst1q_f32(p, r.v); }

  BQ_HD static reals as_reals(words w) { return vreinterpretq_f32_u32(w.v); }
  BQ_HD static words as_words(reals r) { return vreinterpretq_u32_f32(r.v); }
  BQ_HD static reals to_reals(words w) { return vcvtq_f32_u32(w.v); }
  BQ_HD static reals to_reals(ints i) { return vcvtq_f32_s32(i.v); }
  BQ_HD static words select(mask m, words a, words b) { return vbslq_u32(m.v, a.v, b.v); }
  BQ_HD static reals select(mask m, reals a, reals b) { return vbslq_f32(m.v, a.v, b.v); }
  BQ_HD static mask equal(words a, words b) { return a == b; }
  BQ_HD static mask less(words a, words b) { return a < b; }
  BQ_HD static reals fma(reals a, reals b, reals c) { return vfmaq_f32(c.v, a.v, b.v); }
  BQ_HD static reals fnma(reals a, reals b, reals c) { return vfmsq_f32(c.v, a.v, b.v); }

  BQ_HD static words max(words a, words b) { return vmaxq_u32(a.v, b.v); }
  BQ_HD static ints round(reals r) { return vcvtnq_s32_f32(r.v); }  // to nearest even

  // Lane i of the result combines all lanes of v[i], as a tree of halves.
  template <class Vector, class Combine>
  BQ_HD static Vector across(const Vector* v, const Combine& combine) {
    const auto halves = [&](Vector a, Vector b) {
      return combine(Vector(__builtin_shufflevector(a.v, b.v, 0, 1, 4, 5)),
                     Vector(__builtin_shufflevector(a.v, b.v, 2, 3, 6, 7)));
    };
    const Vector a = halves(v[0], v[1]), b = halves(v[2], v[3]);
    return combine(Vector(__builtin_shufflevector(a.v, b.v, 0, 2, 4, 6)),
                   Vector(__builtin_shufflevector(a.v, b.v, 1, 3, 5, 7)));
  }

  // The low bytes of 32 lanes.
  BQ_HD static void store_bytes(std::int8_t* p, const ints* v) {
    for (int i = 0; i < 8; i += 4) {
      const int16x8_t a = vcombine_s16(vmovn_s32(v[i].v), vmovn_s32(v[i + 1].v));
      const int16x8_t b = vcombine_s16(vmovn_s32(v[i + 2].v), vmovn_s32(v[i + 3].v));
      vst1q_s8(p + i * lanes, vcombine_s8(vmovn_s16(a), vmovn_s16(b)));
    }
  }

  BQ_HD static ints signed_byte_to_ints(words w, int index) {
    return vshrq_n_s32(vreinterpretq_s32_u32((w << (24 - 8 * index)).v), 24);
  }
  BQ_HD static reals signed_byte_to_reals(words w, int index) { return to_reals(signed_byte_to_ints(w, index)); }

  BQ_HD static words lookup(words index, const codebook16& table) {
    return vreinterpretq_u32_u8(vqtbl1q_u8(vreinterpretq_u8_u32(vld1q_u32(table.word)), vreinterpretq_u8_u32(index.v)));
  }

  // table[index], of 16 entries.
  BQ_HD static reals lookup(const float* table, ints index) {
    const auto* bytes = reinterpret_cast<const unsigned char*>(table);
    const uint8x16x4_t entries{vld1q_u8(bytes), vld1q_u8(bytes + 16), vld1q_u8(bytes + 32), vld1q_u8(bytes + 48)};
    const words at = words(vreinterpretq_u32_s32(index.v)) * 0x04040404u + 0x03020100u;
    return vreinterpretq_f32_u8(vqtbl4q_u8(entries, vreinterpretq_u8_u32(at.v)));
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
