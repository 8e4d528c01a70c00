// The inverse of a word source's reads (formats/word.hpp), for quantisers: one int per code in, packed fields out, for
// the blocks of every lane of L at once. `shift` picks which bits of each code go into the field, for codes whose low
// and high bits are stored apart.
#pragma once
#include "lanes.hpp"

namespace bq {

// n codes into planes of `Bits` bits over `Bytes` bytes, as word_access::plane reads them. Writes n * Bits / 8 bytes.
template <class L, int Bits, int Bytes, class Blocks>
BQ_BOTH void pack_plane(const Blocks& out, int offset, const typename L::ints* codes, int n, int shift = 0) {
  constexpr int planes = 8 / Bits, words = Bytes / 4, mask = (1 << Bits) - 1;
  for (int w = 0; w < n / (4 * planes); ++w) {
    const typename L::ints* first = codes + w / words * Bytes * planes + w % words * 4;
    typename L::ints word = 0;
    for (int plane = 0; plane < planes; ++plane) {
      for (int byte = 0; byte < 4; ++byte)
        word = word | (first[plane * Bytes + byte] >> shift & mask) << (Bits * plane + 8 * byte);
    }
    out.store(offset + 4 * w, word);
  }
}

// One bit of each of 32 codes in order, as word_access::spread reads them. Writes 4 bytes.
template <class L, class Blocks>
BQ_BOTH void pack_bits(const Blocks& out, int offset, const typename L::ints* codes, int shift) {
  typename L::ints word = 0;
  for (int i = 0; i < 32; ++i) word = word | (codes[i] >> shift & 1) << i;
  out.store(offset, word);
}

// `Digits` base-3 digits to a byte (5 fit), as word_access::trit reads them: the number of five digits divided by 3^5,
// rounded up to 1/256. Writes `Bytes` bytes.
template <class L, int Bytes, int Digits, class Blocks>
BQ_BOTH void pack_trits(const Blocks& out, int offset, const typename L::ints* codes) {
  for (int at = 0; at < Bytes; at += 4) {
    typename L::ints word = 0;
    for (int byte = at; byte < at + 4; ++byte) {
      typename L::ints number = 0;
      for (int k = 0; k < 5; ++k) {
        number = 3 * number;
        if (k < Digits) number = number + codes[byte + k * Bytes];
      }
      // ceil(256 n / 243) = n + (13 n + 242) / 243, and 4316 / 2^20 divides what is below 3389 by 243.
      const typename L::ints extra = (13 * number + 242) * 4316 >> 20;
      word = word | (number + extra) << (8 * (byte - at));
    }
    out.store(offset + at, word);
  }
}

}  // namespace bq
