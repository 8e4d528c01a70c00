// One pass decides all tensors, in the order in which the mix counts them; the rest adds up what was decided and
// collects what is to be refused or mentioned.
#include "plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

namespace bq_quantize {
namespace {

using bq::gguf::tensor;

struct decision {
  bq::type type;
  std::string reason;
};

// "a, b, c and 5 more"
std::string listed(const std::vector<std::string>& names) {
  constexpr std::size_t shown = 8;
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), shown); ++i) text += (i ? ", " : "") + names[i];
  if (names.size() > shown) text += fmt::format(" and {} more", names.size() - shown);
  return text;
}

class planner {
 public:
  planner(const bq::gguf::metadata& meta, std::span<const tensor> tensors, const plan_options& options,
          const imatrix* importance)
      : tensors_(tensors),
        options_(options),
        target_(*options.target),
        importance_(importance && importance->size() > 0 ? importance : nullptr),
        model_(read_architecture(overridden(meta, options.overrides))),
        layers_(renumber(tensors, options.prune_layers)),
        rule_used_(options.recipe.rules.size()) {
    plan_.metadata = output_metadata(meta, target_, layers_, options.overrides, importance);
    if (!model_.has_layer_count)
      for (const tensor& t : tensors) model_.layers = std::max(model_.layers, layer_of(t.name).value_or(-1) + 1);
  }

  plan make() {
    list_tensors();
    decide_all();
    add_up();
    if (options_.no_fallback) refuse_fallback();
    refuse_requantising();
    refuse_missing_importance();
    warn();
    return std::move(plan_);
  }

 private:
  void list_tensors() {
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      const tensor& t = tensors_[i];
      planned_tensor p{.source = i, .out = t, .from = t.type_id, .bytes_in = t.bytes, .importance_name = t.name};
      p.out.name = renamed(t.name, layers_);
      if (!p.out.name.empty()) plan_.tensors.push_back(std::move(p));
    }
  }

  // Indices into the plan in the order in which the mix counts tensors.
  std::vector<std::size_t> counting_order() const {
    std::vector<std::size_t> order(plan_.tensors.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto source = [&](std::size_t i) -> const tensor& { return tensors_[plan_.tensors[i].source]; };
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      const tensor &x = source(a), &y = source(b);
      return options_.keep_split ? std::pair(x.shard, x.offset) < std::pair(y.shard, y.offset) : before(x.name, y.name);
    });
    return order;
  }

  void decide_all() {
    std::vector<bq::gguf::tensor_shape> shapes;
    for (const planned_tensor& p : plan_.tensors) shapes.push_back(p.out);
    mixer mix(target_, model_, shapes, importance_ != nullptr);
    for (const std::size_t i : counting_order()) {
      planned_tensor& p = plan_.tensors[i];
      if (const std::string_view kept = why_untouched(p); !kept.empty())
        p.reason = fmt::format("kept: {}", kept);
      else
        assign(p, decide(p, mix));
    }
  }

  std::string_view why_untouched(const planned_tensor& p) const {
    if (target_.copies()) return "COPY";
    if (const std::string_view kept = why_kept(p.out, model_.name); !kept.empty()) return kept;
    if (options_.recipe.leave_output_tensor && p.out.name == "output.weight") return "--leave-output-tensor";
    return {};
  }

  // Counts a rule as used even where it decides nothing.
  const rule* find_rule(std::string_view name) {
    const rule* found = options_.recipe.find(name);
    if (found) rule_used_[static_cast<std::size_t>(found - options_.recipe.rules.data())] = true;
    return found;
  }

  decision decide(const planned_tensor& p, mixer& mix) {
    const recipe& r = options_.recipe;
    const role what = role_of(p.out.name);
    const rule* user = find_rule(p.out.name);
    // The per-layer table is an embedding too, but large and separate: a rule may name it.
    const bool named = user && p.out.name == "per_layer_token_embd.weight";
    if (r.token_embedding_type && what == role::token_embd && !named)
      return {*r.token_embedding_type, "--token-embedding-type"};
    if (r.output_tensor_type && what == role::output) return {*r.output_tensor_type, "--output-tensor-type"};
    if (!bq::info(target_.base).quantized) return {target_.base, "target"};
    if (user) return {user->type, fmt::format("rule {} ({})", user->pattern, user->origin)};
    if (r.pure) return {target_.base, "pure"};
    if (r.output_tensor_type && what == role::token_embd && mix.tied_embeddings())
      return {*r.output_tensor_type, "--output-tensor-type (tied embeddings)"};
    return {mix.choose(p.out), "mix"};
  }

  void assign(planned_tensor& p, decision d) {
    const bq::type type = fitting(d.type, p.out.cols());
    p.reason = std::move(d.reason);
    if (type != d.type) {
      p.fell_back_from = d.type;
      const bq::type_info& wanted = bq::info(d.type);
      p.reason += fmt::format("; fallback from {}: {} % {} != 0", wanted.name, p.out.cols(), wanted.block_size);
    }
    p.out.type_id = static_cast<std::uint32_t>(type);
    if (!p.converts()) return;
    p.out.bytes = static_cast<std::uint64_t>(p.out.rows()) * bq::row_bytes(type, p.out.cols());
    p.needs_importance = requires_importance(target_, p.out.name, type);
    if (importance_) p.has_importance = find_importance(p, bq::info(type).uses_importance);
  }

  bool find_importance(const planned_tensor& p, bool wanted) {
    const std::uint64_t values = importance_->values(p.importance_name);
    const auto expected = static_cast<std::uint64_t>(p.out.cols() * p.out.ne[2] * p.out.ne[3]);
    if (values == expected) return wanted;
    if (values == 0) {
      if (wanted) plan_.uncovered.push_back(p.out.name);
      return false;
    }
    // Embeddings are looked up, not multiplied: what was measured under their name belongs to another use of them.
    if (role_of(p.out.name) == role::token_embd) {
      plan_.warnings.push_back(
          fmt::format("the importance of {} has another shape and is not used", bq::printable(p.out.name)));
      return false;
    }
    throw bq::error({.code = bq::errc::bad_importance,
                     .message = "the importance of a tensor has another shape than the tensor",
                     .file = importance_->path(),
                     .subject = p.importance_name,
                     .expected = fmt::format("{} values ({} columns, {} experts)", expected, p.out.cols(),
                                             p.out.ne[2] * p.out.ne[3]),
                     .found = std::to_string(values),
                     .advice = "use the importance matrix of this very model"});
  }

  void add_up() {
    for (const planned_tensor& p : plan_.tensors) {
      const auto weights = static_cast<std::uint64_t>(p.out.elements());
      plan_.parameters += weights;
      plan_.bytes_in += p.bytes_in;
      plan_.bytes_out += p.out.bytes;
      if (!p.fell_back_from) continue;
      ++plan_.fallback_tensors;
      plan_.fallback_parameters += weights;
    }
  }

  template <class Condition>
  std::vector<std::string> names_where(const Condition& condition) const {
    std::vector<std::string> names;
    for (const planned_tensor& p : plan_.tensors)
      if (condition(p)) names.push_back(p.out.name);
    return names;
  }

  void refuse_fallback() const {
    std::vector<std::string> names;
    for (const planned_tensor& p : plan_.tensors)
      if (p.fell_back_from) names.push_back(fmt::format("{} ({} columns)", p.out.name, p.out.cols()));
    if (names.empty()) return;
    throw bq::error(
        {.code = bq::errc::bad_shape,
         .message =
             fmt::format("{} of {} tensors ({:.1f} % of the parameters) do not fit their type; "
                         "with fallbacks the file has {:.2f} bits per weight",
                         names.size(), plan_.tensors.size(), 100 * plan_.fallback_share(), plan_.bits_per_weight()),
         .expected = fmt::format("{} as it is", target_.name),
         .found = listed(names),
         .advice = "choose a type with blocks of 32 (Q4_0, Q5_0, Q8_0, IQ4_NL), or leave out --no-fallback"});
  }

  void refuse_requantising() {
    if (options_.allow_requantize) return;
    const auto names = names_where([](const planned_tensor& p) {
      const bq::type_info* from = bq::find_type(static_cast<bq::type>(p.from));
      return p.converts() && from && from->quantized;
    });
    if (names.empty()) return;
    plan_.refusals.push_back({.code = bq::errc::invalid_argument,
                              .message = fmt::format("{} tensors are quantised already", names.size()),

                              .expected = "F32, F16 or BF16 weights",
                              .found = listed(names),
                              .advice = "start from the original model, or accept the loss with --allow-requantize"});
  }

  void refuse_missing_importance() {
    const auto names = names_where([](const planned_tensor& p) { return p.needs_importance && !p.has_importance; });
    if (names.empty()) return;
    plan_.refusals.push_back(
        {.code = bq::errc::bad_importance,
         .message = fmt::format("{} tensors need importance and have none: the result would be useless", names.size()),

         .found = listed(names),
         .advice = "give a complete --imatrix, or choose a larger type"});
  }

  void warn() {
    const recipe& r = options_.recipe;
    const bool has_rules = !target_.copies() && bq::info(target_.base).quantized;
    if (!has_rules && !r.rules.empty())
      plan_.warnings.push_back(fmt::format("{} does not look at rules", target_.name));
    for (std::size_t i = 0; has_rules && i < r.rules.size(); ++i)
      if (!rule_used_[i])
        plan_.warnings.push_back(fmt::format("rule {} ({}) decides no tensor", r.rules[i].pattern, r.rules[i].origin));
    if (importance_ && std::none_of(tensors_.begin(), tensors_.end(),
                                    [&](const tensor& t) { return importance_->values(t.name) > 0; }))
      plan_.warnings.push_back("the importance matrix covers no tensor of this model");
  }

  const std::span<const tensor> tensors_;
  const plan_options& options_;
  const target& target_;
  const imatrix* const importance_;
  architecture model_;
  const layer_map layers_;
  std::vector<bool> rule_used_;
  plan plan_;
};

}  // namespace

plan make_plan(const bq::gguf::metadata& meta, std::span<const tensor> tensors, const plan_options& options,
               const imatrix* importance) {
  return planner(meta, tensors, options, importance).make();
}

void require_runnable(const plan& p) {
  if (!p.refusals.empty()) throw bq::error(p.refusals.front());
}

std::uint64_t gguf_file_bytes(const bq::gguf::metadata& meta, std::span<const planned_tensor> tensors) {
  const auto* alignment_value = meta.find("general.alignment");
  const std::uint64_t alignment = alignment_value ? alignment_value->as_uint().value_or(32) : 32;
  const auto padded = [&](std::uint64_t bytes) { return (bytes + alignment - 1) / alignment * alignment; };
  const auto string_bytes = [](std::string_view text) { return 8 + text.size(); };
  std::uint64_t header = 4 + 4 + 8 + 8;  // magic, version, two counts
  for (const auto& [key, value] : meta.entries()) header += string_bytes(key) + 4 + value.encoding().size();
  std::uint64_t data = 0;
  for (const planned_tensor& p : tensors) {
    header += string_bytes(p.out.name) + 4 + 8 * p.out.n_dims + 4 + 8;
    data += padded(p.out.bytes);
  }
  return padded(header) + data;
}

}  // namespace bq_quantize
