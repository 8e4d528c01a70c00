// One lane, in plain C++: the reference that every other instruction set must equal bit for bit, and what runs where
// none of them does.
#pragma once
#include <cmath>
#include <cstring>

#include "formats/float16.hpp"

namespace bq::scalar {

struct isa {
  using words = std::uint32_t;
  using ints = std::int32_t;
  using reals = float;
  static constexpr int lanes = 1;
  // Vectors of rows in a strip of weights, and in a tile; vectors that a tile accumulates in.
  static constexpr int strip = 8, tile = 2, accumulators = 4;
  static constexpr int woven_tokens = 0;  // of a tile whose runs overlap; 0: registers do not suffice
  static constexpr int float_tokens = 2;  // with 4 rows in a tile of floats

  template <int /*code_bits*/>
  static constexpr bool unsigned_weights = true;

  template <bool /*Unsigned*/>
  BQ_HD static ints dot(ints acc, words weights, words x) {
    for (int shift = 0; shift < 32; shift += 8) {
      acc += static_cast<int>(weights >> shift & 0xffu) * static_cast<std::int8_t>(x >> shift);
    }
    return acc;
  }

  BQ_HD static words load32(const unsigned char* p) { return load<std::uint32_t>(p); }
  BQ_HD static words load16(const unsigned char* p) { return load<std::uint16_t>(p); }
  BQ_HD static words load8(const unsigned char* p) { return *p; }
  // The upper half of a below the lower half of b.
  BQ_HD static words middle(words a, words b) { return a >> 16 | b << 16; }
  BQ_HD static reals f16_to_reals(words w) { return f16_to_f32(w); }
  BQ_HD static void store(unsigned char* p, words v) { memcpy(p, &v, 4); }

  BQ_HD static words broadcast(const std::int8_t* x) { return load<std::uint32_t>(x); }
  BQ_HD static reals load_reals(const float* p) { return *p; }
  BQ_HD static void store(float* p, reals v) { *p = v; }

  BQ_HD static reals as_reals(words v) { return f32_from_bits(v); }
  BQ_HD static words as_words(reals v) { return f32_to_bits(v); }
  BQ_HD static reals to_reals(words v) { return static_cast<float>(v); }
  BQ_HD static reals to_reals(ints v) { return static_cast<float>(v); }
  BQ_HD static words select(bool mask, words a, words b) { return mask ? a : b; }
  BQ_HD static reals select(bool mask, reals a, reals b) { return mask ? a : b; }
  BQ_HD static bool equal(words a, std::uint32_t b) { return a == b; }
  BQ_HD static bool less(words a, std::uint32_t b) { return a < b; }
  BQ_HD static reals fma(reals a, reals b, reals c) { return std::fma(a, b, c); }
  BQ_HD static reals fnma(reals a, reals b, reals c) { return std::fma(-a, b, c); }
  BQ_HD static words max(words a, words b) { return a < b ? b : a; }
  // To nearest even, below 2^22: the sum has no fraction bits.
  BQ_HD static ints round(reals v) { return static_cast<ints>(f32_to_bits(v + 12582912.0f)) - 0x4b400000; }

  // Lane i of the result combines all lanes of v[i], as a tree of halves.
  template <class Vector, class Combine>
  BQ_HD static Vector across(const Vector* v, const Combine&) {
    return *v;
  }

  // The low bytes of 32 lanes.
  BQ_HD static void store_bytes(std::int8_t* p, const ints* v) {
    for (int i = 0; i < 32; ++i) p[i] = static_cast<std::int8_t>(v[i]);
  }

  BQ_HD static ints signed_byte_to_ints(words v, int index) { return static_cast<std::int8_t>(v >> (8 * index)); }
  BQ_HD static reals signed_byte_to_reals(words v, int index) { return to_reals(signed_byte_to_ints(v, index)); }

  BQ_HD static words lookup(words index, const codebook16& table) {
    words out = 0;
    for (int shift = 0; shift < 32; shift += 8) {
      const words i = index >> shift & 15u;
      out |= (table.word[i / 4] >> (8 * (i % 4)) & 0xffu) << shift;
    }
    return out;
  }

  BQ_HD static void interleave16(const unsigned char* const* rows, std::int64_t at, unsigned char* out) {
    memcpy(out, rows[0] + at, 16);
  }

 private:
  template <class T>
  BQ_HD static T load(const void* p) {
    T v;
    memcpy(&v, p, sizeof v);
    return v;
  }
};

}  // namespace bq::scalar
