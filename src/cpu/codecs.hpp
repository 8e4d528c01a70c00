// The quantisers and decoders of one instruction set, folded over a list of formats: L are the lanes of quantisers
// (formats/lanes.hpp), V the vectors of decoders (src/cpu/<isa>/isa.hpp). Included by each src/cpu/<isa>/codecs.cpp,
// which is built with that set's flags: all that is instantiated here is named after L or V.
#pragma once
#include <array>
#include <tuple>

#include "float_lanes.hpp"
#include "formats/registry.hpp"
#include "kernels.hpp"

namespace bq::cpu {

template <class L, any_format F>
void quantize(const float* x, std::int64_t rows, std::int64_t cols, const float* importance, void* blocks) noexcept {
  quantize_blocks<L, F>(x, rows, cols, importance, static_cast<typename F::block*>(blocks));
}

// As decode_block, in vectors.
template <class V, float_format F>
void decode(const void* blocks, std::int64_t count, float* out) noexcept {
  const auto* block = static_cast<const typename F::block*>(blocks);
  std::int64_t b = 0;
  for (; b + V::lanes <= count; b += V::lanes)
    V::store(out + b, load_floats<V, F>(reinterpret_cast<const unsigned char*>(block + b)));
  for (; b < count; ++b) out[b] = F::decode(block[b]);
}

template <class V, coded_format F>
void decode(const void* blocks, std::int64_t count, float* out) noexcept {
  const auto* block = static_cast<const typename F::block*>(blocks);
  for (std::int64_t b = 0; b < count; ++b, out += F::block_size) {
    static_assert(F::group % V::lanes == 0);
    const block_source s(block + b);
    unsigned char codes[F::block_size + 16];  // load8 may read past its lanes
    signed_code_bytes<F>(s, codes);
    for (int g = 0; g < F::block_size / F::group; ++g) {
      const typename V::reals scale = group_scale<F>(s, g), minimum = group_min<F>(s, g);
      for (int i = g * F::group; i < (g + 1) * F::group; i += V::lanes)
        V::store(out + i, scale * V::signed_byte_to_reals(V::load8(codes + i), 0) - minimum);
    }
  }
}

template <class L, class V, class List>
struct codec_table;

template <class L, class V, class... F>
struct codec_table<L, V, std::tuple<F...>> {
  static constexpr std::array<codec, sizeof...(F)> rows{codec{F::id, quantize<L, F>, decode<V, F>}...};
};

}  // namespace bq::cpu
