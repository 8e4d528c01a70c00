// The inverse of a word source's reads (formats/word.hpp), for quantisers: one byte per code in, packed fields out.
// `shift` picks which bits of each code go into the field, for codes whose low and high bits are stored apart.
#pragma once
#include <algorithm>
#include <cstdint>

namespace bq {

// n codes into planes of `Bits` bits over `Bytes` bytes, as word_access::plane reads them. Writes n * Bits / 8 bytes.
template <int Bits, int Bytes>
void pack_plane(std::uint8_t* field, const std::uint8_t* codes, int n, int shift = 0) {
  constexpr int planes = 8 / Bits, mask = (1 << Bits) - 1;
  std::fill_n(field, n / planes, std::uint8_t{0});
  for (int i = 0; i < n; ++i) {
    const int chunk = i / (Bytes * planes), plane = i / Bytes % planes, byte = i % Bytes;
    const int bits = codes[i] >> shift & mask;
    field[chunk * Bytes + byte] = static_cast<std::uint8_t>(field[chunk * Bytes + byte] | bits << (Bits * plane));
  }
}

// One bit of each of 32 codes in order, as word_access::spread reads them. Writes 4 bytes.
inline void pack_bits(std::uint8_t* field, const std::uint8_t* codes, int shift) {
  for (int byte = 0; byte < 4; ++byte) {
    int bits = 0;
    for (int i = 0; i < 8; ++i) bits |= (codes[8 * byte + i] >> shift & 1) << i;
    field[byte] = static_cast<std::uint8_t>(bits);
  }
}

// `Digits` base-3 digits to a byte (5 fit), as word_access::trit reads them: the number of five digits divided by 3^5,
// rounded up to 1/256. Writes `Bytes` bytes.
template <int Bytes, int Digits>
void pack_trits(std::uint8_t* field, const std::uint8_t* codes) {
  for (int byte = 0; byte < Bytes; ++byte) {
    int number = 0;
    for (int k = 0; k < 5; ++k) number = 3 * number + (k < Digits ? codes[byte + k * Bytes] : 0);
    field[byte] = static_cast<std::uint8_t>((256 * number + 242) / 243);
  }
}

}  // namespace bq
