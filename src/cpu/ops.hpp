// What an instruction set offers for include/blockquant/ops.hpp: one function for each operation, derived from the
// templates in elementwise.hpp, token_codes.hpp and attention.hpp. Functions check nothing and allocate nothing.
#pragma once
#include <cstdint>

namespace bq::cpu {

inline constexpr std::int64_t most_head_dim = 1024;

// Queries of some consecutive tokens of one sequence, and of all heads that share one key and value head.
struct attention_task {
  const float* q;  // token t, head h of the group: q + t * stride + h * head_dim
  float* out;      // the same
  std::int64_t stride;
  std::int64_t tokens, group, head_dim;
  std::int64_t position;  // of the first token
  std::int64_t window;    // keys that a token sees, itself included
  float scale;

  struct cache {
    const unsigned char* rows;   // of this head, position 0
    std::int64_t stride;         // bytes from one position to the next
    std::int64_t blocks, bytes;  // of a row of this head
    void (*decode)(const void* blocks, std::int64_t count, float* out) noexcept;
  };
  cache keys, values;
};

struct operations {
  void (*rms_norm)(float* x, const float* residual, const float* weight, float epsilon, std::int64_t rows,
                   std::int64_t cols, float* out) noexcept;
  void (*silu)(const float* gate, const float* up, std::int64_t n, float* out) noexcept;
  void (*gelu)(const float* gate, const float* up, std::int64_t n, float* out) noexcept;
  void (*soft_cap)(float* x, std::int64_t n, float limit) noexcept;
  void (*rope)(float* x, std::int64_t tokens, std::int64_t heads, std::int64_t head_dim, std::int64_t dims,
               bool adjacent, const float* cosine, const float* sine) noexcept;
  void (*token_codes)(const float* x, std::int64_t tokens, std::int64_t cols, std::int8_t* codes,
                      float* scales) noexcept;
  void (*attention)(const attention_task& task, float* scratch) noexcept;
  std::int64_t (*attention_scratch)(std::int64_t queries, std::int64_t head_dim) noexcept;  // floats
};

}  // namespace bq::cpu
