#include "evaluator.hpp"

#include <blockquant/error.hpp>
#include <blockquant/quantize.hpp>

namespace bq_llm {

namespace {

std::size_t size_of(std::int64_t rows, std::int64_t cols) { return static_cast<std::size_t>(rows * cols); }

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

void evaluator::embed(std::span<const batch_part> batch) {
  const bq::matrix& table = model_.token_embedding.weight;
  const std::uint64_t stride = bq::row_bytes(table.id, table.cols);
  h_.resize(size_of(tokens_, model_.embedding));
  std::span<float> to(h_);
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

void evaluator::norm(const floats& weight, std::span<const float> residual) {
  x_.resize(h_.size());
  bq::rms_norm(h_, residual, weight, model_.epsilon, x_, ops());
}

// Rounds x once for the products that follow.
void evaluator::prepare(std::initializer_list<const linear*> weights, std::span<const float> x) {
  const std::int64_t cols = (*weights.begin())->weight.cols;
  const std::int64_t rows = static_cast<std::int64_t>(x.size()) / cols;
  if (options_.observe) {
    for (const linear* w : weights) options_.observe(w->name, x, rows);
  }
  prepared_.assign(x, rows, cols, {.tier = options_.tier, .threads = options_.threads});
}

void evaluator::multiply(const linear& w, floats& y) {
  y.resize(size_of(tokens_, w.weight.rows));
  bq::matmul(w.weight, prepared_, y, {.tier = options_.tier, .threads = options_.threads, .memory = &memory_});
  for (std::size_t at = 0; at < y.size() && !w.bias.empty(); at += w.bias.size()) {
    for (std::size_t i = 0; i < w.bias.size(); ++i) y[at + i] += w.bias[i];
  }
}

// out_ = what the first half of a layer adds to h_.
void evaluator::attend(std::size_t layer, std::span<const batch_part> batch, kv_cache& cache) {
  const decoder_layer& l = model_.layers[layer];
  prepare({&l.q, &l.k, &l.v}, x_);
  multiply(l.q, q_);
  multiply(l.k, k_);
  multiply(l.v, v_);
  if (!l.q_norm.empty()) bq::rms_norm(q_, {}, l.q_norm, model_.epsilon, q_, ops());
  if (!l.k_norm.empty()) bq::rms_norm(k_, {}, l.k_norm, model_.epsilon, k_, ops());
  const bq::rope_table& rope = l.local_rope ? local_rope_ : rope_;
  bq::apply_rope(q_, model_.heads, model_.head_dim, rope, ops());
  bq::apply_rope(k_, model_.kv_heads, model_.head_dim, rope, ops());

  std::vector<bq::attention_sequence> sequences;
  std::size_t at = 0;
  for (const batch_part& part : batch) {
    const std::size_t n = part.tokens.size() * size_of(model_.kv_heads, model_.head_dim);
    cache.write(layer, part.sequence, std::span(k_).subspan(at, n), std::span(v_).subspan(at, n), options_.threads);
    sequences.push_back(cache.read(layer, part.sequence, static_cast<std::int64_t>(part.tokens.size())));
    at += n;
  }
  bq::attention_options o;
  o.threads = options_.threads;
  o.heads = model_.heads, o.kv_heads = model_.kv_heads, o.head_dim = model_.head_dim;
  o.window = l.window, o.scale = model_.attention_scale;
  up_.resize(q_.size());
  bq::attention(q_, sequences, up_, o);
  prepare({&l.attention_output}, up_);
  multiply(l.attention_output, out_);
  if (!l.attention_post_norm.empty()) bq::rms_norm(out_, {}, l.attention_post_norm, model_.epsilon, out_, ops());
}

// out_ = what the second half of a layer adds to h_.
void evaluator::feed_forward(const decoder_layer& l) {
  prepare({&l.gate, &l.up}, x_);
  multiply(l.gate, gate_);
  multiply(l.up, up_);
  bq::gated(model_.activation, gate_, up_, gate_, ops());
  prepare({&l.down}, gate_);
  multiply(l.down, out_);
  if (!l.feed_forward_post_norm.empty()) {
    bq::rms_norm(out_, {}, l.feed_forward_post_norm, model_.epsilon, out_, ops());
  }
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

  embed(batch);
  std::span<const float> residual;
  for (std::size_t i = 0; i < model_.layers.size(); ++i) {
    norm(model_.layers[i].attention_norm, residual);
    attend(i, batch, cache);
    norm(model_.layers[i].feed_forward_norm, out_);
    feed_forward(model_.layers[i]);
    residual = out_;
  }
  norm(model_.output_norm, residual);
  for (const batch_part& part : batch) cache.advance(part.sequence, static_cast<std::int64_t>(part.tokens.size()));
  return x_;
}

void evaluator::logits(std::span<const float> hidden, std::span<float> out) {
  prepare({&model_.output}, hidden);
  bq::matmul(model_.output.weight, prepared_, out,
             {.tier = options_.tier, .threads = options_.threads, .memory = &memory_});
  for (std::size_t at = 0; at < out.size() && !model_.output.bias.empty(); at += model_.output.bias.size()) {
    for (std::size_t i = 0; i < model_.output.bias.size(); ++i) out[at + i] += model_.output.bias[i];
  }
  if (model_.logit_cap != 0.0f) bq::soft_cap(out, model_.logit_cap, ops());
}

}  // namespace bq_llm
