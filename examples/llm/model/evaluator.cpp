#include "evaluator.hpp"

#include <algorithm>
#include <blockquant/error.hpp>
#include <blockquant/quantize.hpp>
#include <memory>

namespace bq_llm {

namespace {

std::size_t size_of(std::int64_t rows, std::int64_t cols) { return static_cast<std::size_t>(rows * cols); }

// Weights that one loop reads, where they follow each other in memory, as interleaved ones do; else the first of them.
bq::expected_read weights_of(std::initializer_list<const linear*> products) {
  constexpr std::uintptr_t gap = 64;
  const auto address = [](const std::byte* p) { return reinterpret_cast<std::uintptr_t>(p); };
  std::span<const std::byte> all = (*products.begin())->weight.blocks;
  for (const linear* p : products) {
    const std::span<const std::byte> next = p->weight.blocks;
    if (address(next.data()) - address(all.data()) - all.size() < gap) all = {all.data(), next.data() + next.size()};
  }
  return {all, true};
}

}  // namespace

void evaluator::check(std::span<const batch_part> batch, const kv_cache& cache) const {
  for (const batch_part& part : batch) {
    const auto n = static_cast<std::int64_t>(part.tokens.size());
    if (cache.length(part.sequence) + n > cache.context()) {
      throw bq::error({.code = bq::errc::out_of_range,
                       .message = "the context is full",
                       .subject = "sequence " + std::to_string(part.sequence),
                       .expected = std::to_string(cache.context()) + " tokens or less",
                       .found = std::to_string(cache.length(part.sequence) + n),
                       .advice = "use a larger context, or fewer tokens"});
    }
    for (const int id : part.tokens) {
      if (id >= 0 && id < model_.vocabulary) continue;
      throw bq::error({.code = bq::errc::out_of_range,
                       .message = "an id that is no token of the model",
                       .expected = "0 to " + std::to_string(model_.vocabulary - 1),
                       .found = std::to_string(id)});
    }
  }
}

std::array<evaluator::token_rows, 9> evaluator::rows() {
  const std::int64_t q = model_.heads * model_.head_dim, kv = model_.kv_heads * model_.head_dim;
  return {{{&h_, model_.embedding},
           {&x_, model_.embedding},
           {&out_, model_.embedding},
           {&q_, q},
           {&attended_, q},
           {&k_, kv},
           {&v_, kv},
           {&gate_, model_.feed_forward},
           {&up_, model_.feed_forward}}};
}

// Rows of each kind begin with a cache line.
void evaluator::divide_memory() {
  constexpr std::size_t line = 16;
  const auto padded = [this](std::int64_t width) { return (size_of(tokens_, width) + line - 1) / line * line; };
  std::size_t size = line;
  for (const token_rows& r : rows()) size += padded(r.width);
  if (memory_of_rows_.size() < size) memory_of_rows_.resize(size);
  std::size_t bytes = memory_of_rows_.size() * sizeof(float);
  void* begin = memory_of_rows_.data();
  auto* at = static_cast<float*>(std::align(line * sizeof(float), sizeof(float), begin, bytes));
  for (const token_rows& r : rows()) {
    *r.of = {at, size_of(tokens_, r.width)};
    at += padded(r.width);
  }
}

// Of the sums and the queries, those of wanted tokens are left.
void evaluator::keep_wanted(std::span<const batch_part> batch) {
  std::size_t kept = 0;
  for (const std::span<float> of : {h_, q_}) {
    if (of.empty()) return;
    const std::size_t width = of.size() / static_cast<std::size_t>(tokens_);
    std::size_t end = 0;
    kept = 0;
    for (const batch_part& part : batch) {
      end += part.tokens.size();
      const auto wanted = of.subspan((end - part.outputs()) * width, part.outputs() * width);
      std::ranges::copy(wanted, of.begin() + static_cast<std::ptrdiff_t>(kept * width));
      kept += part.outputs();
    }
  }
  tokens_ = static_cast<std::int64_t>(kept);
  for (const token_rows& r : rows()) *r.of = r.of->first(size_of(tokens_, r.width));
}

void evaluator::embed(std::span<const batch_part> batch) {
  const bq::matrix& table = model_.token_embedding.weight;
  const std::uint64_t stride = bq::row_bytes(table.id, table.cols);
  std::span<float> to = h_;
  for (const batch_part& part : batch) {
    for (const int id : part.tokens) {
      const auto row = to.first(static_cast<std::size_t>(model_.embedding));
      bq::dequantize(table.id, table.blocks.subspan(static_cast<std::size_t>(id) * stride, stride), 1, table.cols, row);
      to = to.subspan(row.size());
    }
  }
  if (model_.embedding_scale != 1.0f) {
    for (float& v : h_) v *= model_.embedding_scale;
  }
}

// What writes x_ before a half of a layer: the norm of h_, after what the half before has left in out_, normalised too
// where it has a norm of its own, is added.
bq::activations::writer evaluator::added_and_normalised(const floats& post_norm, const floats& norm) {
  return [&, this](std::int64_t first, std::int64_t last) {
    const std::size_t at = size_of(first, model_.embedding), n = size_of(last - first, model_.embedding);
    const auto out = out_.subspan(at, n);
    if (!post_norm.empty()) bq::rms_norm(out, {}, post_norm, model_.epsilon, out, ops_of_task());
    bq::rms_norm(h_.subspan(at, n), out, norm, model_.epsilon, x_.subspan(at, n), ops_of_task());
  };
}

// Products of x, once it is written, with several weights, in one loop; `next`: what is read after them.
void evaluator::multiply(std::span<const float> x, const bq::activations::writer& write,
                         std::initializer_list<layer_product> products, std::span<const bq::expected_read> next) {
  const std::int64_t cols = products.begin()->w->weight.cols, tokens = static_cast<std::int64_t>(x.size()) / cols;
  types_.clear();
  for (const layer_product& p : products) types_.push_back(p.w->weight.id);
  prepared_.assign_written(x, tokens, cols, write, products_options(), types_);
  if (options_.observe) {
    for (const layer_product& p : products) options_.observe(p.w->name, x, tokens);
  }
  if (options_.threads) options_.threads->expect(next);
  projections_.clear();
  for (const layer_product& p : products) projections_.push_back({p.w->weight, p.y});
  bq::matmul(projections_, prepared_, products_options());
  for (const layer_product& p : products) {
    const floats& bias = p.w->bias;
    for (std::size_t at = 0; at < p.y.size() && !bias.empty(); at += bias.size()) {
      for (std::size_t i = 0; i < bias.size(); ++i) p.y[at + i] += bias[i];
    }
  }
}

// out_ = what the first half of a layer adds to h_, but for its norm.
void evaluator::attend(std::size_t layer, const bq::activations::writer& write_x, std::span<const batch_part> batch,
                       kv_cache& cache) {
  const decoder_layer& l = model_.layers[layer];
  const bool last = layer + 1 == model_.layers.size();
  const std::array next{weights_of({&l.attention_output}), weights_of({&l.gate, &l.up})};
  multiply(x_, write_x, {{&l.q, q_}, {&l.k, k_}, {&l.v, v_}}, next);
  if (!l.q_norm.empty()) bq::rms_norm(q_, {}, l.q_norm, model_.epsilon, q_, ops());
  if (!l.k_norm.empty()) bq::rms_norm(k_, {}, l.k_norm, model_.epsilon, k_, ops());
  const bq::rope_table& rope = l.local_rope ? local_rope_ : rope_;
  bq::apply_rope(q_, model_.heads, model_.head_dim, rope, ops());
  bq::apply_rope(k_, model_.kv_heads, model_.head_dim, rope, ops());

  std::vector<bq::attention_sequence> sequences;
  std::size_t at = 0;
  for (const batch_part& part : batch) {
    const std::size_t n = part.tokens.size() * size_of(model_.kv_heads, model_.head_dim);
    cache.write(layer, part.sequence, k_.subspan(at, n), v_.subspan(at, n), options_.threads);
    bq::attention_sequence s = cache.read(layer, part.sequence, static_cast<std::int64_t>(part.tokens.size()));
    if (last) {
      s.position += s.tokens - static_cast<std::int64_t>(part.outputs());
      s.tokens = static_cast<std::int64_t>(part.outputs());
    }
    sequences.push_back(s);
    at += n;
  }
  if (last) keep_wanted(batch);
  bq::attention_options o;
  o.threads = options_.threads, o.isa = isa_;
  o.heads = model_.heads, o.kv_heads = model_.kv_heads, o.head_dim = model_.head_dim;
  o.window = l.window, o.scale = model_.attention_scale;
  bq::attention(q_, sequences, attended_, o);
  multiply(attended_, nullptr, {{&l.attention_output, out_}}, std::span(next).last(1));
}

// out_ = what the second half of a layer adds to h_, but for its norm.
void evaluator::feed_forward(std::size_t layer, const bq::activations::writer& write_x,
                             std::span<const batch_part> batch, const kv_cache& cache) {
  const decoder_layer& l = model_.layers[layer];
  multiply(x_, write_x, {{&l.gate, gate_}, {&l.up, up_}}, std::array{weights_of({&l.down})});
  const auto activate = [this](std::int64_t first, std::int64_t last) {
    const std::size_t at = size_of(first, model_.feed_forward), n = size_of(last - first, model_.feed_forward);
    const auto gate = gate_.subspan(at, n);
    bq::gated(model_.activation, gate, up_.subspan(at, n), gate, ops_of_task());
  };
  multiply(gate_, activate, {{&l.down, out_}}, reads_before(layer + 1, batch, cache));
}

// What a layer, or the product behind the last one, reads first. Of several sequences, the first stands for all.
std::span<const bq::expected_read> evaluator::reads_before(std::size_t layer, std::span<const batch_part> batch,
                                                           const kv_cache& cache) {
  reads_.clear();
  if (layer == model_.layers.size()) {
    reads_.push_back(weights_of({&model_.output}));
    return reads_;
  }
  const bq::attention_sequence seen = cache.read(layer, batch.front().sequence, 0);
  const decoder_layer& l = model_.layers[layer];
  reads_ = {{seen.keys.blocks}, {seen.values.blocks}, weights_of({&l.q, &l.k, &l.v})};
  return reads_;
}

std::span<const float> evaluator::run(std::span<const batch_part> batch, kv_cache& cache) {
  check(batch, cache);
  std::vector<std::int64_t> positions;
  for (const batch_part& part : batch) {
    for (std::size_t i = 0; i < part.tokens.size(); ++i) {
      positions.push_back(cache.length(part.sequence) + static_cast<std::int64_t>(i));
    }
  }
  tokens_ = static_cast<std::int64_t>(positions.size());
  rope_ = bq::make_rope_table(model_.rope_of(false), positions);
  if (model_.local_rope.dims > 0) local_rope_ = bq::make_rope_table(model_.rope_of(true), positions);

  divide_memory();
  embed(batch);
  std::fill(out_.begin(), out_.end(), 0.0f);
  const floats none;
  const floats* post_norm = &none;
  for (std::size_t i = 0; i < model_.layers.size(); ++i) {
    const decoder_layer& l = model_.layers[i];
    attend(i, added_and_normalised(*post_norm, l.attention_norm), batch, cache);
    feed_forward(i, added_and_normalised(l.attention_post_norm, l.feed_forward_norm), batch, cache);
    post_norm = &l.feed_forward_post_norm;
  }
  added_and_normalised(*post_norm, model_.output_norm)(0, tokens_);
  for (const batch_part& part : batch) cache.advance(part.sequence, static_cast<std::int64_t>(part.tokens.size()));
  return x_;
}

void evaluator::logits(std::span<const float> hidden, std::span<float> out) {
  const decoder_layer& first = model_.layers.front();
  multiply(hidden, nullptr, {{&model_.output, out}}, std::array{weights_of({&first.q, &first.k, &first.v})});
  if (model_.logit_cap != 0.0f) bq::soft_cap(out, model_.logit_cap, ops());
}

}  // namespace bq_llm
