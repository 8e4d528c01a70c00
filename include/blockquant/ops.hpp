// Operations of transformers between the matrix products: normalisation, rotary positions, gated activations and
// attention over a cache of any type. All tensors are f32, row-major and contiguous, at any alignment of 4 bytes.
//
// Every output is one fixed sequence of IEEE operations on its inputs (src/cpu/elementwise.hpp, src/cpu/attention.hpp
// state it), so results are bit-identical for any number of threads, any division of the tokens between calls, any
// position in them, and every instruction set. NaN and infinity stay with their token. Functions are thread safe on
// distinct outputs, and throw errc::bad_shape when sizes do not agree, errc::invalid_argument for an instruction set
// that this machine has not, std::bad_alloc.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "parallel.hpp"
#include "tensor.hpp"

namespace bq {

struct ops_options {
  executor* threads = nullptr;  // null: the calling thread
  std::string_view isa = {};    // as in matmul_options
};

// out = x / sqrt(mean(x^2) + epsilon) * weight for each row of x [rows, cols], weight [cols]; before that x += residual
// when there is one. `out` may be x. (Zhang and Sennrich, Root Mean Square Layer Normalization, 2019.)
void rms_norm(std::span<float> x, std::span<const float> residual, std::span<const float> weight, float epsilon,
              std::span<float> out, const ops_options& options = {});

// Gated activations, element by element: out = f(gate) * up, with f the function named. `out` may be gate or up.
//   silu(x) = x / (1 + exp(-x))
//   gelu(x) = x / (1 + exp(-2 u)), u = sqrt(2 / pi) * (x + 0.044715 x^3): the form with tanh
// Relative error of silu below 2^-21 (absolute below 2^-119 where exp(-x) overflows); gelu's exponent carries the
// rounding of 2 u on top, |2 u| * 2^-22.
enum class activation { silu, gelu };
void gated(activation f, std::span<const float> gate, std::span<const float> up, std::span<float> out,
           const ops_options& options = {});

// x = limit * tanh(x / limit), in place. Absolute error below limit * 2^-21.
void soft_cap(std::span<float> x, float limit, const ops_options& options = {});

// Tokens of x [tokens, cols] for int8 products of the caller's own ("W8A8"), one scale each: x is about
// codes [tokens, cols] * scales [tokens].
//   scale = top / 127,  code = x * (127 / top) rounded to nearest even, in f32: -127 to 127;  top = max |x| of the
//   token
// A token whose top is below 2^-100 counts as zero: scale and codes 0. One with a NaN or an infinity gets scale NaN and
// codes 0. The outputs must not overlap x. (Products of this library round by themselves, 32 columns at a time:
// activations.hpp.)
void quantize_tokens(std::span<const float> x, std::int64_t tokens, std::int64_t cols, std::span<std::int8_t> codes,
                     std::span<float> scales, const ops_options& options = {});

// Rotary position embedding (Su et al., RoFormer, 2021): pair i of a head's first `dims` values is turned by
// position * frequency(i), frequency(i) = base^(-2 i / dims) / factors[i], scaled as `scaling` says.
enum class rope_pairing {
  adjacent,  // values 2 i and 2 i + 1: the architecture `llama`, whose files hold permuted rows
  halves,    // values i and i + dims / 2: "neox"
};
enum class rope_scaling {
  none,
  linear,  // frequency / factor
  yarn,    // linear for slow pairs, none for fast ones (Peng et al., YaRN, 2023), and larger by attention_factor * (1 +
           // ln(factor) / 10)
};
struct rope_options {
  rope_pairing pairing = rope_pairing::halves;
  std::int64_t dims = 0;  // even
  double base = 10000;
  std::span<const float> factors = {};  // empty, or [dims / 2] (Llama 3)
  rope_scaling scaling = rope_scaling::none;
  double factor = 1;                  // of the context length
  std::int64_t original_context = 0;  // tokens; yarn only, as what follows
  double attention_factor = 1;
  double beta_fast = 32, beta_slow = 1;  // turns within the original context that end and begin the blend
};

// Cosines and sines of some positions, [positions, dims] each, in the order in which the pairing needs them.
struct rope_table {
  rope_pairing pairing = rope_pairing::halves;
  std::int64_t dims = 0;
  std::vector<float> cosine, sine;
};

// Angles are computed in f64. Throws errc::invalid_argument (dims not positive and even, above 1024, base or factor not
// positive), errc::bad_shape.
rope_table make_rope_table(const rope_options& rope, std::span<const std::int64_t> positions);

// Turns x [positions, heads, head_dim] in place; head_dim >= the table's dims, further values stay as they are.
void apply_rope(std::span<float> x, std::int64_t heads, std::int64_t head_dim, const rope_table& table,
                const ops_options& options = {});

// Causal attention with grouped heads: query head h attends with key and value head h / (heads / kv_heads).
//   out = softmax(scale * q . k) v, over the keys of positions (p - window, p] of a token at position p
struct attention_options : ops_options {
  std::int64_t heads = 0, kv_heads = 0;  // heads is a multiple of kv_heads
  std::int64_t head_dim = 0;             // at most 1024; a multiple of the block sizes of the cache
  std::int64_t window = 0;               // 0: all positions
  float scale = 1;
};

// `tokens` consecutive tokens of one sequence, and its cache: row s of keys and values [slots, kv_heads * head_dim] is
// position s. Rows up to the last token's position are read.
struct attention_sequence {
  std::int64_t tokens = 0;
  std::int64_t position = 0;  // of the first token
  matrix keys, values;
};

// q and out [tokens of all sequences, heads, head_dim]. Throws errc::unknown_type too.
void attention(std::span<const float> q, std::span<const attention_sequence> sequences, std::span<float> out,
               const attention_options& options);

}  // namespace bq
