// What surrounds the matrix products on NVIDIA GPUs: conversions between floats and blocks, activations prepared for
// products, and the operations of transformers (blockquant/ops.hpp) over a paged cache of any type. CMake target
// blockquant::cuda; the header itself needs no CUDA.
//
// As in blockquant/cuda.hpp, functions work on the calling thread's current device, queue their work on `s` without
// waiting for it, allocate nothing, and may be captured into graphs. Pointers are device memory unless said otherwise,
// must not overlap unless said otherwise, and are read and written when the work runs. Functions are thread safe on
// distinct outputs. They throw errc::bad_shape (sizes that make no sense), errc::invalid_argument (a null or misaligned
// pointer), errc::out_of_range (more than one grid can take), errc::device (the driver refused).
#pragma once
#include <cstdint>

#include "cuda.hpp"
#include "ops.hpp"

namespace bq::cuda {

struct quantize_options {
  const float* importance = nullptr;  // [cols], finite and >= 0 (bq::quantize_options); null: none
  // Lowered to the least position (row * cols + column) of a weight that is not finite, and of the first weight of a
  // block whose scale overflows: what bq::quantize throws for. The caller sets it to all ones before; null: not asked.
  unsigned long long* first_bad = nullptr;
};

// Quantises weights [rows, cols] by the format's reference method. `blocks` holds
// rows * row_bytes(to, cols) bytes, the same as bq::quantize gives, at any alignment (16 is fastest), but float types
// at that of their floats. Throws errc::unknown_type too.
void quantize(type to, element from, const void* weights, std::int64_t rows, std::int64_t cols, void* blocks,
              const quantize_options& options = {}, stream s = nullptr);

// Decodes blocks [rows, cols] of type `from` to floats, aligned to four of them: the
// values of bq::dequantize, rounded to nearest even (beyond the range of f16: infinite). Throws as quantize().
void dequantize(type from, const void* blocks, std::int64_t rows, std::int64_t cols, element to, void* out,
                stream s = nullptr);

// Activations [tokens, cols] in the forms that products and operations take; those whose pointers are set are written,
// prepared ones only with the same tokens and cols.
struct activation_outputs {
  float* values = nullptr;    // [tokens, cols]
  activations prepared = {};  // where memory is set: what prepare() makes of the values, bit for bit
  // int8 [tokens, cols] with one scale for `group` columns: value = scale * code, scale = largest magnitude / 127,
  // codes rounded to nearest even. Groups of 32 have the codes and scales of the exact tier on CPUs (bq::activations).
  // A group with NaN or infinity has scale NaN and codes 0, one below 2^-100 scale 0 and codes 0.
  std::int8_t* codes = nullptr;
  float* scales = nullptr;  // [tokens, cols / group]; with codes
  std::int64_t group = 32;  // 32, or cols: one scale for each token
};

// x [tokens, cols] in other forms. cols is a multiple of 4 (of 32 with codes); all pointers but scales are aligned
// to 16 bytes, here and in the functions below.
void convert_activations(const float* x, std::int64_t tokens, std::int64_t cols, const activation_outputs& out,
                         stream s = nullptr);

// bq::rms_norm: x += residual where there is one; out = x / sqrt(mean(x^2) + epsilon) * weight for each row of x
// [rows, cols]. out.values may be x. The sum of squares has an order of its own, that depends on cols alone.
void rms_norm(float* x, const float* residual, const float* weight, float epsilon, std::int64_t rows, std::int64_t cols,
              const activation_outputs& out, stream s = nullptr);

// bq::gated: out = f(gate) * up for [tokens, cols]; the bits of out.values are those of bq::gated. Rows of gate and up
// are `stride` floats apart (0: cols; a multiple of 4), so that both may be halves of one product. out.values may be
// gate or up where stride is cols.
void gated(activation f, const float* gate, const float* up, std::int64_t tokens, std::int64_t cols,
           const activation_outputs& out, std::int64_t stride = 0, stream s = nullptr);

// bq::soft_cap, bit for bit: x = limit * tanh(x / limit), in place. Any n and alignment of 4 bytes.
void soft_cap(float* x, std::int64_t n, float limit, stream s = nullptr);

// A table of bq::make_rope_table in device memory: cosine and sine are copies of its vectors, [positions, dims] each.
struct rope_table {
  rope_pairing pairing = rope_pairing::halves;
  std::int64_t dims = 0;
  const float* cosine = nullptr;
  const float* sine = nullptr;
};

// bq::apply_rope, bit for bit: turns x [positions, heads, head_dim] in place. Any alignment of 4 bytes. Rows of x are
// `stride` floats apart (0: heads * head_dim), so that x may be a part of a wider product.
void apply_rope(float* x, std::int64_t positions, std::int64_t heads, std::int64_t head_dim, const rope_table& table,
                std::int64_t stride = 0, stream s = nullptr);

// Keys and values of one layer, each [slots, kv_heads * head_dim] in blocks of its type, row after row as row_bytes()
// says. Slots form pages of `page` consecutive ones. Aligned to 16 bytes.
struct paged_cache {
  type keys_type = type::f16, values_type = type::f16;
  void* keys = nullptr;
  void* values = nullptr;
  std::int64_t slots = 0;  // a multiple of page
  std::int64_t page = 16;
  std::int64_t kv_heads = 0, head_dim = 0;  // head_dim is a multiple of both types' block sizes
};

// Quantises keys and values [tokens, kv_heads * head_dim] by their formats' reference methods into the cache: token t
// into row slots[t]. A token whose slot is negative, or not below cache.slots, is skipped. slots [tokens] must not name
// a row twice. Throws errc::unknown_type too.
void append(const paged_cache& cache, element from, const void* keys, const void* values, const std::int64_t* slots,
            std::int64_t tokens, stream s = nullptr);

// Sequences of one attention call, in device memory. Sequence i has the tokens first[i] .. first[i + 1] - 1 of q; its
// first one is at positions[i]. Position p of the sequence is in slot page_table[i][p / page] * page + p % page.
struct attention_batch {
  std::int64_t sequences = 0, tokens = 0;
  const std::int32_t* first = nullptr;       // [sequences + 1], from 0 to tokens, never falling
  const std::int32_t* positions = nullptr;   // [sequences]
  const std::int32_t* page_table = nullptr;  // [sequences, most_pages]: pages of the cache
  std::int64_t most_pages = 0;
  std::int64_t most_tokens = 0;     // in host terms: no sequence has more tokens here,
  std::int64_t most_positions = 0;  // or ends beyond this position: sizes of grid and scratch, no effect on results
};

// Bytes of scratch that attention() needs: where sequences have few tokens, room for the parts of their slices.
std::int64_t attention_scratch(const attention_batch& batch, const attention_options& options);

// bq::attention over a paged cache whose types have blocks of at most 32 values (f32, f16, bf16, q4_0, q8_0, ...): q
// and out [tokens, heads, head_dim], of options heads, kv_heads, head_dim, window and scale count. `scratch` is
// aligned to 16 bytes. q is taken with 22 bits below its head's largest value, keys and values are rounded to f16 after
// decoding; sums are f32. Positions are cut into slices of 128, whose results are joined in their order, so the bits of
// a token's output depend on nothing but q, its position and the cache. Throws errc::unknown_type,
// errc::unsupported_type (other types) too.
void attention(const float* q, const paged_cache& cache, const attention_batch& batch, float* out, void* scratch,
               const attention_options& options, stream s = nullptr);

}  // namespace bq::cuda
