// Blocks of weights as in the file to the bytes of the fast tier: each weight is decoded (formats/decode.hpp), then
// rounded under the scale of its 256 columns.
#pragma once
#include "byte_encode.cuh"
#include "codec.hpp"
#include "formats/decode.hpp"

namespace bq::cuda {

template <any_format F>
struct block_rows {
  const typename F::block* blocks;
  std::int64_t row_blocks;

  __device__ void load(int row, int col, int count, float (&v)[lane_cols]) const {
    const auto* from = blocks + row * row_blocks + col / F::block_size;
    if constexpr (float_format<F>) {
#pragma unroll
      for (int i = 0; i < lane_cols; ++i) {
        if (i < count) v[i] = F::decode(from[i]);
      }
    } else {
      static_assert(F::block_size % lane_cols == 0);
      const block_source s(from);
      const int word = col % F::block_size / 4;
      decode_word<F>(s, word, v);
      decode_word<F>(s, word + 1, v + 4);
    }
  }
};

template <any_format F>
void recode_on_device(const unsigned char* blocks, std::int64_t first, std::int64_t rows, std::int64_t cols,
                      const byte_matrix& to, cudaStream_t s) {
  const block_rows<F> source{reinterpret_cast<const typename F::block*>(blocks), cols / F::block_size};
  launch_encode_bytes(false, source, first, rows, cols, to, "recode", s);
}

}  // namespace bq::cuda
