// The named targets (Q4_K_M and the others) and the mixes behind them: which type a tensor gets from its role, its
// place in the model and the model's hyper-parameters. The rules are those of llama.cpp's llama-quantize
// (src/llama-quant.cpp), kept as a table: rows of (target, role, type, condition), the first row that applies wins, and
// no row means the base type.
#pragma once
#include <blockquant/gguf.hpp>
#include <blockquant/types.hpp>
#include <cstdint>
#include <span>
#include <string_view>

#include "architecture.hpp"

namespace bq_quantize {

// What TYPE on the command line names.
struct target {
  std::string_view name;          // "Q4_K_M"
  std::uint32_t file_type;        // general.file_type
  bq::type base;                  // what most tensors get
  std::string_view description;   // one line, for --help
  std::string_view same_as = {};  // another target's name, when this is only an alias of it

  bool copies() const noexcept { return name == "COPY"; }  // every tensor stays as it is
  bool writable() const noexcept { return bq::find_type(base) != nullptr; }
};

// All targets, roughly by size, aliases and those that cannot be written included. Static storage.
std::span<const target> targets() noexcept;

// By name in any case, or by file_type number; aliases give what they stand for. Throws errc::unknown_type, and
// errc::unsupported_type for targets whose base type cannot be written.
const target& find_target(std::string_view name_or_number);

// Bits per weight that the target gives a Llama 3 8B (without importance), by the mix's own rules; 0 for COPY.
double nominal_bits(const target& t);

enum class role {
  token_embd,
  output,
  attn_q,
  attn_k,
  attn_v,
  attn_qkv,
  attn_kv_b,
  attn_output,
  ffn_up,
  ffn_gate,
  ffn_down,
  other,
};
role role_of(std::string_view tensor_name) noexcept;

// Chooses types tensor by tensor. Rules that depend on "the i-th such tensor" count calls, so call once per tensor, in
// the order of before(), and only for tensors that no user rule has decided.
class mixer {
 public:
  // `tensors` are all tensors that will be written, decided elsewhere or not.
  mixer(const target& t, const architecture& model, std::span<const bq::gguf::tensor_shape> tensors,
        bool has_importance);

  bool tied_embeddings() const noexcept { return tied_; }  // no output.weight: the token embeddings serve as output

  // The type the mix wants, for targets of a quantised base type; it may not fit the tensor's shape. Throws
  // errc::bad_tensor_name when a mixture-of-experts model has a feed-forward tensor outside blk.N., errc::out_of_range
  // when N is no layer of the model.
  bq::type choose(const bq::gguf::tensor_shape& tensor);

 private:
  const target& target_;
  const architecture& model_;
  const bool has_importance_;
  bool tied_ = true;
  std::int64_t attn_v_count_ = 0;
  std::int64_t attn_v_seen_ = 0, ffn_up_seen_ = 0, ffn_gate_seen_ = 0, ffn_down_seen_ = 0;
};

// The order in which tensors are counted: those outside blk.N. first, then by layer, then by name.
bool before(std::string_view a, std::string_view b) noexcept;

// What is written instead of `wanted` when `cols` is no multiple of its block size: a type of about the same size in
// blocks of 32, else F16. Throws errc::bad_shape when there is none.
bq::type fitting(bq::type wanted, std::int64_t cols);

// True for types so small that they are useless without importance: Q2_K in Q2_K_S, output and embeddings excepted.
bool requires_importance(const target& t, std::string_view tensor_name, bq::type type) noexcept;

}  // namespace bq_quantize
