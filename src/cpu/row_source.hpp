// A word source (formats/word.hpp) whose lanes are rows: one block of each of V::lanes rows, interleaved unit by unit,
// so that what lies at byte `offset` of a block begins at lanes * offset here. A format's unpack code works on it as it
// stands. V is an instruction set's vector type list (src/cpu/<isa>/isa.hpp).
#pragma once
#include "formats/word.hpp"

namespace bq::cpu {

template <class V>
struct row_source : word_access<row_source<V>> {
  using words = typename V::words;
  using reals = typename V::reals;
  static constexpr int lanes = V::lanes;
  const unsigned char* base;

  BQ_HD explicit row_source(const unsigned char* p) : base(p) {}

  BQ_HD words load(int offset) const { return V::load32(base + lanes * offset); }
  BQ_HD words load16(int offset) const { return V::load16(base + lanes * offset); }
  BQ_HD words load8(int offset) const { return V::load8(base + lanes * offset); }

  BQ_HD reals f16(int offset) const { return V::load_f16(base + lanes * offset); }
  BQ_HD reals f32(int offset) const { return V::as_reals(load(offset)); }
  BQ_HD reals e8m0_half(int offset) const {
    const words e = load8(offset);
    return V::as_reals(V::select(V::less(e, 2u), (e + 1u) << 21, (e - 1u) << 23));
  }
  BQ_HD reals ue4m3_half(int offset) const {
    const words x = load8(offset), exponent = x >> 3 & 15u, mantissa = x & 7u;
    const words normal = (exponent + 119u) << 23 | mantissa << 20;
    const words small = V::as_words(V::to_reals(mantissa) * reals(0x1p-10f));
    return V::as_reals(V::select(V::equal(exponent, 0u), small, V::select(V::equal(x, 0x7fu), words(0u), normal)));
  }

  BQ_HD static reals signed_byte(words w, int index) { return V::signed_byte_to_reals(w, index & 3); }
  BQ_HD static reals unsigned_byte(words w, int index) { return V::to_reals(w >> (8 * (index & 3)) & 0xffu); }
  BQ_HD static words lookup(words index, const codebook16& table) { return V::lookup(index, table); }
};

// Interleaves one block of each of V::lanes rows into lanes * sizeof(block) bytes at `out`. rows[i] + at is row i's
// block.
template <class V, class F>
BQ_HD void interleave(const unsigned char* const* rows, std::int64_t at, unsigned char* out) {
  constexpr auto planes = F::planes();
  for (const plane& p : planes) {
    int offset = p.offset;
    if (p.unit == 4) {
      for (; offset + 16 <= p.offset + p.bytes; offset += 16)
        V::interleave16(rows, at + offset, out + V::lanes * offset);
    }
    for (; offset < p.offset + p.bytes; offset += p.unit) {
      for (int row = 0; row < V::lanes; ++row) {
        unsigned char* to = out + V::lanes * offset + row * p.unit;
        const unsigned char* from = rows[row] + at + offset;
        if (p.unit == 4)
          memcpy(to, from, 4);
        else if (p.unit == 2)
          memcpy(to, from, 2);
        else
          *to = *from;
      }
    }
  }
}

}  // namespace bq::cpu
