// One call of paged attention, as its kernels take it; and what they have to agree on.
//
//   slice    128 positions of a sequence, counted from position 0. A query's scores of a slice are one softmax:
//            m = largest score, p = 2^(score - m), l = sum of p, o = sum of p * value
//   join     slices follow one another: M' = max(M, m), L = L 2^(M - M') + l 2^(m - M'), O likewise; out = O / L
//   rows     queries that share a key and value head, token by token, and of one token head by head
//
// Scores are in units of ln 2. A query's numbers depend on nothing but itself and the keys it sees: not on the other
// rows of its tile, nor on which kernel computes them.
#pragma once
#include <cstdint>

#include "blockquant/cuda.hpp"
#include "blockquant/cuda_ops.hpp"
#include "formats/format.hpp"
#include "tile.hpp"

namespace bq::cuda {

inline constexpr int slice_keys = 128;

struct attention_task {
  struct cache {
    const unsigned char* rows;
    type id;
    bool coded;               // blocks, not floats
    std::int64_t stride;      // bytes from one slot to the next
    std::int64_t head_bytes;  // of a row of one head
  };
  cache keys, values;
  const std::int32_t *first, *positions, *page_table;  // attention_batch's
  std::int64_t most_pages;
  int page;
  std::int64_t slots;
  const float* q;
  float* out;
  int heads, group, head_dim;  // group: query heads of one key and value head
  int window;                  // positions that a token sees, itself included
  float scale;                 // of the options, times log2(e)
  float* partial;              // null, or [tokens][heads][slices]: o [head_dim], m, l
  int slices, block_slices;    // of a sequence, at most; that a block of the split kernel takes
};

// Many rows, where the device has wgmma (attention_hopper.cu): of heads of at most so many dims.
inline constexpr int most_hopper_dims = 128;
void launch_attention_hopper(const attention_task& t, const attention_batch& b, int kv_heads, stream s);

// How many slices a block takes one after another where slices are divided among blocks, of which `at_once` run at a
// time, and each of `rows` has so many: the number with which the last of them end first, if to begin takes as long as
// a slice.
inline int slices_for_blocks(std::int64_t rows, std::int64_t slices, std::int64_t at_once) {
  constexpr int most = 16;  // sequences may be shorter than the batch says, others wait for the longest
  int best = 1;
  std::int64_t least = 0;
  for (int n = 1; n <= most; ++n) {
    const std::int64_t rounds = ceil_div(rows * ceil_div(slices, n), at_once), time = rounds * (n + 1);
    if (n == 1 || time < least) best = n, least = time;
  }
  return best;
}

// Attention to a cache of keys and values of one type by few rows (attention_warp.cuh), one for each format, made in
// its unit (format.cu.in). False if it cannot: heads too large, or not aligned to what copies take at a time.
template <any_format F>
struct attention_kernels {
  static bool launch(const attention_task& t, std::int64_t sequences, std::int64_t kv_heads, stream s);
};

}  // namespace bq::cuda
