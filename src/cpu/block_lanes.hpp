// The lanes of reference quantisers (formats/lanes.hpp) made of an instruction set's vectors: V::lanes blocks at once.
// Nothing here is contracted, approximated or flushed, so every lane holds what one_lane computes.
#pragma once
#include <bit>
#include <cstring>

#include "formats/lanes.hpp"
#include "row_source.hpp"

namespace bq::cpu {

template <class V>
struct block_lanes {
  using reals = typename V::reals;
  using ints = typename V::ints;
  using words = typename V::words;
  using mask = typename reals::batch_bool_type;
  static constexpr int count = V::lanes;

  BQ_HD static ints as_ints(words v) { return std::bit_cast<ints>(v); }
  BQ_HD static words as_words(ints v) { return std::bit_cast<words>(v); }

  BQ_HD static reals select(mask m, reals a, reals b) { return xsimd::select(m, a, b); }
  BQ_HD static ints select(mask m, ints a, ints b) {
    return bits(select(m, V::as_reals(as_words(a)), V::as_reals(as_words(b))));
  }
  BQ_HD static bool any(mask m) { return xsimd::any(m); }
  BQ_HD static ints min(ints a, ints b) { return xsimd::min(a, b); }
  BQ_HD static ints max(ints a, ints b) { return xsimd::max(a, b); }

  BQ_HD static reals abs(reals x) { return V::as_reals(V::as_words(x) & 0x7fffffffu); }
  BQ_HD static reals negate(reals x) { return V::as_reals(V::as_words(x) ^ 0x80000000u); }
  BQ_HD static reals sqrt(reals x) { return xsimd::sqrt(x); }
  BQ_HD static reals to_reals(ints v) { return V::to_reals(v); }
  BQ_HD static ints bits(reals x) { return as_ints(V::as_words(x)); }
  BQ_HD static ints truncate(reals x) {
    return select(x >= -2147483648.0f && x < 2147483648.0f, xsimd::to_int(x), INT32_MIN);
  }
  BQ_HD static reals lookup(const float* table, ints index) { return V::lookup(table, index); }

  template <class Map>
  BQ_HD static ints each(reals x, Map map) {
    alignas(64) float from[count];
    alignas(64) std::int32_t to[count];
    V::store(from, x);
    for (int lane = 0; lane < count; ++lane) to[lane] = map(from[lane]);
    return as_ints(V::load32(reinterpret_cast<const unsigned char*>(to)));
  }
  template <class Map>
  BQ_HD static reals each(ints x, Map map) {
    alignas(64) std::int32_t from[count];
    alignas(64) float to[count];
    V::store(reinterpret_cast<unsigned char*>(from), as_words(x));
    for (int lane = 0; lane < count; ++lane) to[lane] = map(from[lane]);
    return V::load_reals(to);
  }

  template <int N>
  struct columns {
    reals data[N];
    explicit columns(const float* const* lanes) {
      const unsigned char* rows[count];
      for (int lane = 0; lane < count; ++lane) rows[lane] = reinterpret_cast<const unsigned char*>(lanes[lane]);
      for (int i = 0; i < N; i += 4) V::interleave16(rows, 4 * i, reinterpret_cast<unsigned char*>(data + i));
    }
  };
  BQ_HD static reals load(const float* lanes) { return V::load_reals(lanes); }

  // Blocks under construction are interleaved field by field: what lies at byte `offset` of a block begins at
  // count * offset.
  template <class F>
  struct blocks : row_reads<blocks<F>, V> {
    unsigned char* to;
    explicit blocks(unsigned char* interleaved) : to(interleaved) {}
    BQ_HD words load(int offset) const { return V::load32(to + count * offset); }
    BQ_HD words load16(int offset) const { return V::load16(to + count * offset); }
    BQ_HD words load8(int offset) const { return V::load8(to + count * offset); }
    BQ_HD void store(int offset, ints v) const { V::store(to + count * offset, as_words(v)); }
    BQ_HD void store16(int offset, ints v) const { narrow<std::uint16_t>(offset, v); }
    BQ_HD void store8(int offset, ints v) const { narrow<std::uint8_t>(offset, v); }

   private:
    template <class T>
    BQ_HD void narrow(int offset, ints v) const {
      alignas(64) std::int32_t from[count];
      T low[count];
      V::store(reinterpret_cast<unsigned char*>(from), as_words(v));
      for (int lane = 0; lane < count; ++lane) low[lane] = static_cast<T>(from[lane]);
      memcpy(to + count * offset, low, sizeof low);
    }
  };

  template <class F, class Quantize>
  static void write(typename F::block* out, int n, const Quantize& quantize) {
    alignas(64) unsigned char interleaved[count * sizeof(typename F::block) + 16 * count];
    quantize(blocks<F>(interleaved));
    auto* bytes = reinterpret_cast<unsigned char*>(out);
    constexpr auto planes = F::planes();
    for (const plane& p : planes) {
      for (int offset = p.offset; offset < p.offset + p.bytes; offset += p.unit) {
        for (int lane = 0; lane < n; ++lane) {
          unsigned char* to = bytes + lane * static_cast<int>(sizeof(typename F::block)) + offset;
          const unsigned char* from = interleaved + count * offset + lane * p.unit;
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
};

}  // namespace bq::cpu
