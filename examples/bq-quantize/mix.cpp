// The tables: targets, the mixes' rows with their conditions, and what replaces a type whose blocks do not fit. The
// output matrix, and the two targets whose rules are not about roles, are in mixer::choose().
#include "mix.hpp"

#include <algorithm>
#include <blockquant/error.hpp>
#include <cctype>
#include <charconv>
#include <string>
#include <vector>

namespace bq_quantize {
namespace {

using bq::gguf::tensor_shape;
using enum bq::type;

constexpr target all_targets[] = {
    {"IQ1_S", 24, iq1_s, "1.56 bits, needs importance"},
    {"IQ1_M", 31, iq1_m, "1.75 bits, needs importance"},
    {"Q1_0", 40, q1_0, "1 bit, one scale for 128 weights"},
    {"TQ1_0", 36, tq1_0, "ternary weights, five to a byte; for models trained that way"},
    {"TQ2_0", 37, tq2_0, "ternary weights, four to a byte; for models trained that way"},
    {"IQ2_XXS", 19, iq2_xxs, "2.06 bits, needs importance"},
    {"IQ2_XS", 20, iq2_xs, "2.31 bits, needs importance"},
    {"IQ2_S", 28, iq2_xs, "2.5 bits, needs importance"},
    {"IQ2_M", 29, iq2_s, "2.7 bits, needs importance"},
    {"Q2_0", 41, q2_0, "2 bits, one scale for 64 weights"},
    {"Q2_K_S", 21, q2_K, "2-bit K-quants, small mix: large loss, needs importance"},
    {"Q2_K", 10, q2_K, "2-bit K-quants with 3 and 4 bits where it hurts: large loss"},
    {"IQ3_XXS", 23, iq3_xxs, "3.06 bits, needs importance"},
    {"IQ3_XS", 22, iq3_s, "3.3 bits"},
    {"IQ3_S", 26, iq3_s, "3.44 bits"},
    {"IQ3_M", 27, iq3_s, "3.66 bits, a mix"},
    {"Q3_K_S", 11, q3_K, "3-bit K-quants throughout: large loss"},
    {"Q3_K_M", 12, q3_K, "3-bit K-quants, values and down projections in 4 and 5 bits"},
    {"Q3_K", 12, q3_K, "Q3_K_M", "Q3_K_M"},
    {"Q3_K_L", 13, q3_K, "3-bit K-quants, values and down projections in 5 bits"},
    {"IQ4_XS", 30, iq4_xs, "4-bit codebook: better than Q4_K_S in less space, slower on CPUs"},
    {"MXFP4_MOE", 38, mxfp4, "experts in 4-bit floats (OCP MX), everything else in Q8_0"},
    {"MXFP4", 38, mxfp4, "4-bit floats (OCP MX), all weights"},
    {"NVFP4", 39, nvfp4, "4-bit floats with 8-bit scales for 16 weights, all weights"},
    {"Q4_0", 2, q4_0, "4 bits, one scale for 32 weights: simplest and fastest"},
    {"IQ4_NL", 25, iq4_nl, "4-bit codebook in blocks of 32: for rows that are no multiple of 256"},
    {"Q4_K_S", 14, q4_K, "4-bit K-quants, small mix"},
    {"Q4_K_M", 15, q4_K, "4-bit K-quants, half of the sensitive tensors in 6 bits: the usual choice"},
    {"Q4_K", 15, q4_K, "Q4_K_M", "Q4_K_M"},
    {"Q4_1", 3, q4_1, "4 bits, scale and minimum for 32 weights"},
    {"Q5_0", 8, q5_0, "5 bits, one scale for 32 weights"},
    {"Q5_K_S", 16, q5_K, "5-bit K-quants throughout"},
    {"Q5_K_M", 17, q5_K, "5-bit K-quants, half of the sensitive tensors in 6 bits: little loss"},
    {"Q5_K", 17, q5_K, "Q5_K_M", "Q5_K_M"},
    {"Q5_1", 9, q5_1, "5 bits, scale and minimum for 32 weights"},
    {"Q6_K", 18, q6_K, "6-bit K-quants: very little loss"},
    {"Q8_0", 7, q8_0, "8 bits: loss hardly measurable"},
    {"F16", 1, f16, "16-bit floats, overflow at 65504"},
    {"BF16", 32, bf16, "16-bit floats with the range of 32 bits"},
    {"F32", 0, f32, "32-bit floats"},
    {"COPY", 0, f32, "no conversion: change metadata, split, merge or prune only"},
};

// What a condition may look at. `i` of `n`: the place of this tensor among those of its role.
struct place {
  std::int64_t i, n;
  const architecture& model;
  bool has_importance;
};
using condition = bool (*)(const place&);

bool always(const place&) { return true; }
bool falcon(const place& p) { return p.model.name == "falcon"; }
bool eight_experts(const place& p) { return p.model.experts == 8; }
bool shared_values(const place& p) { return p.model.gqa >= 4; }
bool first_two(const place& p) { return p.i < 2; }
bool first_four(const place& p) { return p.i < 4; }
bool first_sixteenth(const place& p) { return p.i < p.n / 16; }
bool first_eighth(const place& p) { return p.i < p.n / 8; }
// The first and the last eighth of the layers, and every third between them.
bool more_bits(const place& p) { return first_eighth(p) || p.i >= 7 * p.n / 8 || (p.i - p.n / 8) % 3 == 2; }
bool falcon_first_sixteenth(const place& p) { return falcon(p) && first_sixteenth(p); }
bool falcon_more_bits(const place& p) { return falcon(p) && more_bits(p); }
bool other_more_bits(const place& p) { return !falcon(p) && more_bits(p); }
bool other_or_more_bits(const place& p) { return !falcon(p) || more_bits(p); }
bool other_first_eighth(const place& p) { return !falcon(p) && first_eighth(p); }
bool other_eight_experts(const place& p) { return !falcon(p) && eight_experts(p); }
bool other_dense(const place& p) { return !falcon(p) && !eight_experts(p); }
bool measured_first_eighth(const place& p) { return p.has_importance && first_eighth(p); }
bool unmeasured_first_eighth(const place& p) { return !p.has_importance && first_eighth(p); }

constexpr std::string_view any = "";

struct mix_row {
  std::string_view target;
  bq_quantize::role role;
  bq::type type;
  condition applies = always;
};

// `attn_v` stands for every tensor that holds values: attn_v, attn_qkv, attn_kv_b.
constexpr mix_row mixes[] = {
    {any, role::attn_v, q8_0, eight_experts},  // cheap there, and every token passes through them
    {any, role::attn_k, q8_0, eight_experts},

    {"Q2_K", role::attn_v, q4_K, shared_values},
    {"Q2_K", role::attn_v, q3_K},
    {"Q2_K", role::attn_output, q5_K, other_eight_experts},
    {"Q2_K", role::attn_output, q3_K, other_dense},
    {"Q2_K", role::ffn_down, q3_K},

    {"Q2_K_S", role::attn_v, q4_K, shared_values},
    {"Q2_K_S", role::ffn_down, q4_K, first_eighth},

    {"Q3_K_S", role::attn_output, q5_K, other_eight_experts},

    {"Q3_K_M", role::attn_v, q5_K, first_two},
    {"Q3_K_M", role::attn_v, q4_K},
    {"Q3_K_M", role::attn_output, q5_K, other_eight_experts},
    {"Q3_K_M", role::attn_output, q4_K, other_dense},
    {"Q3_K_M", role::ffn_down, q5_K, first_sixteenth},
    {"Q3_K_M", role::ffn_down, q4_K, other_or_more_bits},

    {"Q3_K_L", role::attn_v, q5_K},
    {"Q3_K_L", role::attn_output, q4_K, falcon},
    {"Q3_K_L", role::attn_output, q5_K, other_dense},
    {"Q3_K_L", role::ffn_down, q4_K, falcon},
    {"Q3_K_L", role::ffn_down, q5_K},

    {"Q4_0", role::ffn_down, q4_1, measured_first_eighth},
    {"Q5_0", role::ffn_down, q5_1, measured_first_eighth},

    {"Q4_K_S", role::attn_v, q5_K, first_four},
    {"Q4_K_S", role::attn_output, q5_K, other_eight_experts},
    {"Q4_K_S", role::ffn_down, q5_K, other_first_eighth},

    {"Q4_K_M", role::attn_v, q6_K, more_bits},
    {"Q4_K_M", role::attn_output, q5_K, other_eight_experts},
    {"Q4_K_M", role::ffn_down, q6_K, other_more_bits},
    {"Q4_K_M", role::ffn_down, q6_K, falcon_first_sixteenth},
    {"Q4_K_M", role::ffn_down, q5_K, falcon_more_bits},

    {"Q5_K_M", role::attn_v, q6_K, more_bits},
    {"Q5_K_M", role::ffn_down, q6_K, more_bits},

    {"IQ4_NL", role::attn_v, q5_K, shared_values},
    {"IQ4_NL", role::attn_output, q5_K, other_eight_experts},
    {"IQ4_NL", role::ffn_down, q5_K, unmeasured_first_eighth},
    {"IQ4_XS", role::attn_v, q5_K, shared_values},
    {"IQ4_XS", role::attn_output, q5_K, other_eight_experts},
    {"IQ4_XS", role::ffn_down, q5_K, unmeasured_first_eighth},

    {"TQ1_0", role::token_embd, q4_K},
    {"TQ2_0", role::token_embd, q4_K},
};

constexpr bool is_target(std::string_view name) {
  return std::any_of(std::begin(all_targets), std::end(all_targets), [&](const target& t) { return t.name == name; });
}
static_assert(std::all_of(std::begin(mixes), std::end(mixes),
                          [](const mix_row& r) { return r.target == any || is_target(r.target); }));

struct replacement {
  bq::type wanted, fits;
};
constexpr replacement in_blocks_of_32[] = {
    {q2_K, q4_0}, {q3_K, q4_0}, {tq1_0, q4_0}, {tq2_0, q4_0},
    {q4_K, q5_0}, {q5_K, q5_1}, {q6_K, q8_0},  {iq4_xs, iq4_nl},
};

bool holds_values(role r) { return r == role::attn_v || r == role::attn_qkv || r == role::attn_kv_b; }

bool same_text(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

struct named_role {
  std::string_view part;
  bq_quantize::role role;
};
constexpr named_role roles[] = {
    {"attn_qkv.weight", role::attn_qkv},
    {"attn_kv_b.weight", role::attn_kv_b},
    {"attn_v.weight", role::attn_v},
    {"attn_k.weight", role::attn_k},
    {"attn_q.weight", role::attn_q},
    {"attn_output.weight", role::attn_output},
    {"ffn_up", role::ffn_up},
    {"ffn_gate", role::ffn_gate},
    {"ffn_down", role::ffn_down},
};

bool contains(std::string_view text, std::string_view part) { return text.find(part) != text.npos; }

// Experts are not in order of layers, so that in a mixture only the name tells the layer.
std::int64_t expert_layer(const tensor_shape& t, std::int64_t layers) {
  const auto layer = layer_of(t.name);
  if (!layer)
    throw bq::error({.code = bq::errc::bad_tensor_name,
                     .message = "the layer of a feed-forward tensor in a mixture of experts cannot be told",
                     .subject = t.name,
                     .expected = "blk.N.",
                     .advice = "give this tensor's type with --tensor-type, or use --pure"});
  if (*layer >= layers)
    throw bq::error({.code = bq::errc::out_of_range,
                     .message = "a tensor belongs to a layer that the model does not have",
                     .subject = t.name,
                     .expected = "a layer below " + std::to_string(layers),
                     .found = std::to_string(*layer),
                     .advice = "correct block_count with --override-kv, or use --pure"});
  return *layer;
}

}  // namespace

std::span<const target> targets() noexcept { return all_targets; }

const target& find_target(std::string_view wanted) {
  std::uint32_t number = 0;
  const auto [end, failure] = std::from_chars(wanted.data(), wanted.data() + wanted.size(), number);
  const bool is_number = failure == std::errc{} && end == wanted.data() + wanted.size();
  const auto found = std::find_if(std::begin(all_targets), std::end(all_targets), [&](const target& t) {
    return is_number ? t.file_type == number && t.same_as.empty() : same_text(t.name, wanted);
  });
  if (found == std::end(all_targets))
    throw bq::error({.code = bq::errc::unknown_type,
                     .message = "no target has this name or number",
                     .subject = std::string(wanted),
                     .advice = "--help lists the targets"});
  if (!found->same_as.empty()) return find_target(found->same_as);
  if (!found->writable())
    throw bq::error({.code = bq::errc::unsupported_type,
                     .message = "the blocks of this target can be neither written nor computed with",
                     .subject = std::string(found->name),
                     .advice = "--help lists the targets that can be written"});
  return *found;
}

role role_of(std::string_view name) noexcept {
  if (name == "output.weight") return role::output;
  if (name == "token_embd.weight" || name == "per_layer_token_embd.weight") return role::token_embd;
  for (const named_role& r : roles)
    if (contains(name, r.part)) return r.role;
  return role::other;
}

mixer::mixer(const target& t, const architecture& model, std::span<const tensor_shape> tensors, bool has_importance)
    : target_(t), model_(model), has_importance_(has_importance) {
  for (const tensor_shape& tensor : tensors) {
    const role r = role_of(tensor.name);
    attn_v_count_ += holds_values(r);
    tied_ = tied_ && r != role::output;
  }
}

bq::type mixer::choose(const tensor_shape& tensor) {
  role r = role_of(tensor.name);
  if (model_.name == "glm5-next" && (contains(tensor.name, "attn_q_a") || contains(tensor.name, "attn_q_b") ||
                                     contains(tensor.name, "nextn.eh_proj")))
    return q8_0;

  const bool is_moe_target = target_.name == "MXFP4_MOE";
  if (r == role::output || (tied_ && r == role::token_embd))
    return is_moe_target || model_.name == "falcon" || target_.base == q8_0 ? q8_0 : q6_K;
  if (is_moe_target) {
    const bool is_ffn = r == role::ffn_up || r == role::ffn_gate || r == role::ffn_down;
    return tensor.ne[2] > 1 && (model_.name != "bailingmoe3" || is_ffn) ? mxfp4 : q8_0;
  }

  const auto count_ffn = [&](std::int64_t& seen) {
    const std::int64_t i = seen++;
    return model_.experts > 1 ? expert_layer(tensor, model_.layers) : i;
  };
  place p{0, model_.layers, model_, has_importance_};
  if (holds_values(r)) {
    r = role::attn_v;
    p.i = attn_v_seen_++;
    p.n = attn_v_count_;
  } else if (r == role::ffn_down) {
    p.i = count_ffn(ffn_down_seen_);
  } else if (r == role::ffn_up) {
    p.i = count_ffn(ffn_up_seen_);
  } else if (r == role::ffn_gate) {
    p.i = count_ffn(ffn_gate_seen_);
  }

  const auto row = std::find_if(std::begin(mixes), std::end(mixes), [&](const mix_row& m) {
    return m.role == r && (m.target == any || m.target == target_.name) && m.applies(p);
  });
  const bq::type chosen = row != std::end(mixes) ? row->type : target_.base;
  const bool too_few_bits = chosen == q3_K || chosen == q4_K;
  return r == role::attn_v && model_.shaped_like_70b && too_few_bits ? q5_K : chosen;
}

bool before(std::string_view a, std::string_view b) noexcept {
  const auto layer_a = layer_of(a), layer_b = layer_of(b);
  return layer_a != layer_b ? layer_a < layer_b : a < b;
}

bq::type fitting(bq::type wanted, std::int64_t cols) {
  if (bq::can_quantize(wanted, cols)) return wanted;
  const auto found = std::find_if(std::begin(in_blocks_of_32), std::end(in_blocks_of_32),
                                  [&](const replacement& r) { return r.wanted == wanted; });
  if (found != std::end(in_blocks_of_32)) return fitting(found->fits, cols);
  const bq::type_info& w = bq::info(wanted);
  if (w.block_size <= 32) return f16;
  throw bq::error({.code = bq::errc::bad_shape,
                   .message = "no type of similar size fits these columns",
                   .subject = std::string(w.name),
                   .expected = "columns that are a multiple of " + std::to_string(w.block_size),
                   .found = std::to_string(cols),
                   .advice = "choose another type for these tensors with --tensor-type"});
}

bool requires_importance(const target& t, std::string_view name, bq::type type) noexcept {
  const role r = role_of(name);
  return t.name == "Q2_K_S" && type == q2_K && r != role::output && r != role::token_embd;
}

double nominal_bits(const target& t) {
  if (t.copies() || !t.writable()) return 0;
  const architecture llama3{.name = "llama", .layers = 32, .gqa = 4};
  std::vector<tensor_shape> tensors;
  const auto add = [&](std::string name, std::int64_t cols, std::int64_t rows) {
    tensors.push_back({.name = std::move(name), .n_dims = 2, .ne = {cols, rows, 1, 1}});
  };
  add("token_embd.weight", 4096, 128256);
  add("output.weight", 4096, 128256);
  for (int layer = 0; layer < 32; ++layer) {
    const std::string prefix = "blk." + std::to_string(layer) + ".";
    add(prefix + "attn_q.weight", 4096, 4096);
    add(prefix + "attn_k.weight", 4096, 1024);
    add(prefix + "attn_v.weight", 4096, 1024);
    add(prefix + "attn_output.weight", 4096, 4096);
    add(prefix + "ffn_up.weight", 4096, 14336);
    add(prefix + "ffn_gate.weight", 4096, 14336);
    add(prefix + "ffn_down.weight", 14336, 4096);
  }
  mixer mix(t, llama3, tensors, false);
  double bits = 0, weights = 0;
  for (const tensor_shape& tensor : tensors) {
    const bq::type type = bq::info(t.base).quantized ? mix.choose(tensor) : t.base;
    bits += bq::info(type).bits_per_weight() * static_cast<double>(tensor.elements());
    weights += static_cast<double>(tensor.elements());
  }
  return bits / weights;
}

}  // namespace bq_quantize
