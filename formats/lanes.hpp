// Lanes: what a reference quantiser computes with. A quantiser is written once, as a template over a lane list L, and
// works on L::count blocks at a time, one in each lane. Lanes never mix, and every operation is the IEEE one, so a
// block's bytes are the same whatever the lane list. What depends on data is a mask and a select, not a branch.
//
//   reals, ints, mask    float, int32_t and bool for each lane, with C++'s operators; shifts and & | take ints
//   select(mask, a, b)   a where the mask is set, else b
//   columns<N>           N reals from one array of N floats for each lane
//   blocks<F>            the blocks being written: a word source (formats/word.hpp) with store, store16 and store8
//                        for fields of that unit (planes(), formats/format.hpp): they take an offset and an int, and
//                        write its low bits
//   write<F>(out, n, f)  f(blocks<F>), then the first n lanes' blocks are in out[0], ..., out[n - 1]
//
// Here is the list of one lane, plain C++. src/cpu/block_lanes.hpp makes one from an instruction set's vectors.
#pragma once
#include <cmath>
#include <cstdint>

#include "word.hpp"

namespace bq {

struct one_lane {
  using reals = float;
  using ints = std::int32_t;
  using mask = bool;
  static constexpr int count = 1;

  BQ_HD static reals select(mask m, reals a, reals b) { return m ? a : b; }
  BQ_HD static ints select(mask m, ints a, ints b) { return m ? a : b; }
  BQ_HD static bool any(mask m) { return m; }
  BQ_HD static ints min(ints a, ints b) { return a < b ? a : b; }
  BQ_HD static ints max(ints a, ints b) { return a > b ? a : b; }

  BQ_HD static reals abs(reals x) { return f32_from_bits(f32_to_bits(x) & 0x7fffffffu); }
  BQ_HD static reals negate(reals x) { return -x; }
  BQ_HD static reals sqrt(reals x) { return std::sqrt(x); }
  BQ_HD static reals to_reals(ints v) { return static_cast<float>(v); }
  BQ_HD static ints bits(reals x) { return static_cast<ints>(f32_to_bits(x)); }

  // Towards zero; NaN and what does not fit give INT_MIN, as x86 converts: ggml relies on it where C++ leaves the
  // result undefined (a block whose scale is subnormal has 1 / d = infinity).
  BQ_HD static ints truncate(reals x) {
    return x >= -2147483648.0f && x < 2147483648.0f ? static_cast<int>(x) : INT32_MIN;
  }

  // table[index], of 16 entries.
  BQ_HD static reals lookup(const float* table, ints index) { return table[index]; }
  // map(x) for every lane: int from float, float from int.
  template <class Map>
  BQ_HD static ints each(reals x, Map map) {
    return map(x);
  }
  template <class Map>
  BQ_HD static reals each(ints x, Map map) {
    return map(x);
  }

  template <int N>
  struct columns {
    const float* data;
    BQ_HD explicit columns(const float* const* lanes) : data(lanes[0]) {}
  };

  template <class F>
  struct blocks : block_source {
    unsigned char* to;
    BQ_HD explicit blocks(typename F::block* b) : block_source(b), to(reinterpret_cast<unsigned char*>(b)) {}
    BQ_HD void store(int offset, ints v) const { memcpy(to + offset, &v, 4); }
    BQ_HD void store16(int offset, ints v) const {
      const auto low = static_cast<std::uint16_t>(v);
      memcpy(to + offset, &low, 2);
    }
    BQ_HD void store8(int offset, ints v) const { to[offset] = static_cast<unsigned char>(v); }
  };
  template <class F, class Quantize>
  BQ_HD static void write(typename F::block* out, int, const Quantize& quantize) {
    quantize(blocks<F>(out));
  }
  BQ_HD static reals load(const float* lanes) { return *lanes; }
};

// Importance as a quantiser sees it: one value for each weight of the block, or null; and the mean square of the row
// that the block is from, for formats that say `uses_row_mean_square`.
template <class L>
struct block_importance {
  const typename L::reals* weight = nullptr;
  typename L::reals row_mean_square = 0.0f;
};

// The bits of an f16 in the low half of each int.
template <class L>
BQ_BOTH typename L::ints f16_bits(typename L::reals x) {
  return L::each(x, [](float lane) -> std::int32_t { return f16_from_f32(lane); });
}

}  // namespace bq
