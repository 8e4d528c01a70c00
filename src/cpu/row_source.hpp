// Word sources (formats/word.hpp) whose lanes are rows, so that a format's unpack code works on V::lanes rows as it
// stands. V is an instruction set's vector type list (src/cpu/<isa>/isa.hpp).
//
// interleave() turns a stretch of V::lanes rows, whatever it holds, into [words][lanes]; row_source reads a block that
// begins at any byte of it. Blocks of 18, 22, 34 ... bytes begin in the middle of a word: such reads take two words and
// shift, which costs less than moving the fields of every block one by one.
#pragma once
#include "formats/word.hpp"

namespace bq::cpu {

// Scale reads derived from load, load16 and load8.
template <class Self, class V>
struct row_reads : word_access<Self> {
  using words = typename V::words;
  using reals = typename V::reals;

  BQ_HD reals f16(int offset) const { return V::f16_to_reals(self().load16(offset)); }
  BQ_HD reals f32(int offset) const { return V::as_reals(self().load(offset)); }
  BQ_HD reals e8m0_half(int offset) const {
    const words e = self().load8(offset);
    return V::as_reals(V::select(V::less(e, 2u), (e + 1u) << 21, (e - 1u) << 23));
  }
  BQ_HD reals ue4m3_half(int offset) const {
    const words x = self().load8(offset), exponent = x >> 3 & 15u, mantissa = x & 7u;
    const words normal = (exponent + 119u) << 23 | mantissa << 20;
    const words small = V::as_words(V::to_reals(mantissa) * reals(0x1p-10f));
    return V::as_reals(V::select(V::equal(exponent, 0u), small, V::select(V::equal(x, 0x7fu), words(0u), normal)));
  }

  // A look-up in a register where the instruction set has one of 16 words.
  BQ_HD words spread(int offset, int w) const {
    if constexpr (requires(words v) { V::spread(v); })
      return V::spread(self().load(offset) >> (4 * w));
    else
      return word_access<Self>::spread(offset, w);
  }

  BQ_HD static reals signed_byte(words w, int index) { return V::signed_byte_to_reals(w, index & 3); }
  BQ_HD static reals unsigned_byte(words w, int index) { return V::to_reals(w >> (8 * (index & 3)) & 0xffu); }
  BQ_HD static words lookup(words index, const codebook16& table) { return V::lookup(index, table); }

 private:
  BQ_HD const Self& self() const { return static_cast<const Self&>(*this); }
};

// The block that begins `Phase` bytes into the word at `base`.
template <class V, int Phase>
struct row_source : row_reads<row_source<V, Phase>, V> {
  using words = typename V::words;
  static constexpr int lanes = V::lanes;
  const unsigned char* base;

  BQ_HD explicit row_source(const unsigned char* p) : base(p) {}

  BQ_HD words load(int offset) const {
    const int shift = (Phase + offset) % 4 * 8;
    if (shift == 0) return word(offset);
    if (shift == 16) return V::middle(word(offset), word(offset + 4));
    return word(offset) >> shift | word(offset + 4) << (32 - shift);
  }
  BQ_HD words load16(int offset) const {
    const int shift = (Phase + offset) % 4 * 8;
    return shift == 24 ? load(offset) & 0xffffu : shift == 16 ? word(offset) >> 16 : word(offset) >> shift & 0xffffu;
  }
  BQ_HD words load8(int offset) const { return word(offset) >> ((Phase + offset) % 4 * 8) & 0xffu; }

 private:
  BQ_HD words word(int offset) const { return V::load32(base + (Phase + offset) / 4 * 4 * lanes); }
};

// The block of `Bytes` bytes that begins `Phase` bytes into the word at `base`, from the beginning of a word on.
template <class V, int Phase, int Bytes>
BQ_HD void realign(const unsigned char* base, unsigned char* out) {
  static_assert(Bytes % 4 == 2);
  const row_source<V, Phase> s(base);
#pragma GCC unroll 64
  for (int offset = 0; offset < Bytes - 2; offset += 4) V::store(out + V::lanes * offset, s.load(offset));
  V::store(out + V::lanes * (Bytes - 2), s.load16(Bytes - 2));
}

// Bytes [at, at + bytes) of V::lanes rows as [words][lanes] at `out`; bytes >= 16. What fills up the last word is zero.
template <class V>
BQ_HD void interleave(const unsigned char* const* rows, std::int64_t at, int bytes, unsigned char* out) {
  const int whole = bytes / 4 * 4;
  int offset = 0;
  for (; offset + 16 <= whole; offset += 16) V::interleave16(rows, at + offset, out + V::lanes * offset);
  if (offset < whole) V::interleave16(rows, at + whole - 16, out + V::lanes * (whole - 16));  // overlaps
  if (whole < bytes) {
    for (int row = 0; row < V::lanes; ++row) {
      std::uint32_t word = 0;
      memcpy(&word, rows[row] + at + whole, static_cast<std::size_t>(bytes - whole));
      memcpy(out + V::lanes * whole + 4 * row, &word, 4);
    }
  }
}

// Bytes [at, at + bytes) of V::lanes rows as [words][lanes]: where they lie in a group that is interleaved already,
// which begins at rows[0] (`at` is a multiple of 4); else in `buffer`.
template <class V>
BQ_HD const unsigned char* words_of(const unsigned char* const* rows, bool interleaved, std::int64_t at, int bytes,
                                    unsigned char* buffer) {
  if (interleaved) return rows[0] + at * V::lanes;
  interleave<V>(rows, at, bytes, buffer);
  return buffer;
}

// Whole rows as a group, which has room for each row filled up to whole words.
template <class V>
void interleave_rows(const unsigned char* const* rows, std::int64_t row_bytes, unsigned char* out) noexcept {
  constexpr std::int64_t stretch = 4096;
  for (std::int64_t at = 0; at < row_bytes; at += stretch) {
    // What is left has 16 bytes at least.
    const std::int64_t here = row_bytes - at < stretch + 16 ? row_bytes - at : stretch;
    interleave<V>(rows, at, static_cast<int>(here), out + at * V::lanes);
    if (here != stretch) break;
  }
}

}  // namespace bq::cpu
