#include "run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <blockquant/quantize.hpp>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <memory>
#include <mutex>

#include "digest.hpp"
#include "pipeline.hpp"
#include "program/outputs.hpp"

namespace bq_quantize {

namespace {

using bq::gguf::tensor;
using clock = std::chrono::steady_clock;

constexpr std::uint64_t default_memory_per_thread = 14u << 20;  // bytes
constexpr std::uint64_t largest_piece = 1u << 18;               // weights; larger ones gain no speed
// Worst case of a workspace: source bytes, f32, output and the decoded output, four bytes per weight each.
constexpr std::uint64_t bytes_per_weight = 16;

// A run of weights of one tensor: whole rows where importance has to be known per row, else whole blocks.
struct piece {
  std::size_t tensor;         // index into the plan
  std::int64_t first, count;  // weights; bytes for tensors that are copied
};

struct row_error {
  std::int64_t row;
  double error2, weight2;
};

struct workspace {
  std::vector<std::byte> source, out;
  std::vector<float> weights, decoded;
  std::vector<row_error> rows;
  double max_abs = 0;
};

const bq::type_info& known(std::uint32_t id) { return bq::info(static_cast<bq::type>(id)); }

// Divides every tensor into pieces of at most `most` weights.
std::vector<piece> divide(const bq::gguf::model& source, const plan& p, std::int64_t most) {
  std::vector<piece> out;
  for (std::size_t i = 0; i < p.tensors.size(); ++i) {
    const planned_tensor& t = p.tensors[i];
    const tensor& in = source.tensors()[t.source];
    std::int64_t total = in.elements(), step = 0, boundary = total;
    if (!t.converts()) {
      const bq::type_info* type = bq::find_type(static_cast<bq::type>(t.from));
      const std::int64_t granule = type ? type->block_bytes : 1;
      total = boundary = static_cast<std::int64_t>(t.bytes_in);
      step = std::max(granule, most * 4 / granule * granule);
    } else if (t.has_importance) {
      step = most / in.cols() * in.cols();
      boundary = in.cols() * in.ne[1];  // importance changes from one expert to the next
      if (step == 0) {
        throw bq::error({.code = bq::errc::out_of_range,
                         .message = "a row does not fit the memory limit",
                         .subject = in.name,
                         .expected = fmt::format("at most {} columns", most),
                         .found = fmt::format("{}", in.cols()),
                         .advice = "raise --max-memory or lower --threads"});
      }
    } else {
      const std::int64_t granule = std::max(known(t.from).block_size, known(t.out.type_id).block_size);
      step = in.cols() <= most ? most / in.cols() * in.cols() : most / granule * granule;
    }
    for (std::int64_t at = 0; at < total;) {
      const std::int64_t until_boundary = boundary - at % boundary;
      const std::int64_t count = std::min({step, until_boundary, total - at});
      out.push_back({i, at, count});
      at += count;
    }
  }
  return out;
}

class job {
 public:
  job(const bq::gguf::model& source, const plan& p, const imatrix* importance, bq::gguf::writer& writer,
      const run_options& options, std::int64_t most_weights)
      : source_(source),
        plan_(p),
        importance_(importance),
        writer_(writer),
        options_(options),
        pieces_(divide(source, p, most_weights)),
        loaded_(p.tensors.size()),
        bar_(p.bytes_in, p.tensors.size(), options.style) {
    result_.digests.resize(p.tensors.size(), empty_digest());
    result_.errors.resize(p.tensors.size());
  }

  run_result run(bq::executor& threads) {
    run_in_order<workspace>(
        threads, pieces_.size(), [this](workspace& w, std::size_t i) { produce(w, pieces_[i]); },
        [this](workspace& w, std::size_t i) { consume(w, pieces_[i]); });
    return std::move(result_);
  }

 private:
  static std::uint64_t empty_digest() { return digest().value(); }

  void produce(workspace& w, const piece& p) {
    const planned_tensor& t = plan_.tensors[p.tensor];
    const tensor& in = source_.tensors()[t.source];
    if (!t.converts()) {
      w.out.resize(static_cast<std::size_t>(p.count));
      source_.read(in, static_cast<std::uint64_t>(p.first), w.out);
    } else {
      try {
        convert(w, p, t, in);
      } catch (const bq::error& e) {
        throw explained(e, w, p, in);
      }
    }
    writer_.write(p.tensor, out_offset(p), w.out);
  }

  void convert(workspace& w, const piece& p, const planned_tensor& t, const tensor& in) {
    const auto count = static_cast<std::size_t>(p.count);
    const bq::type_info &from = known(t.from), &to = known(t.out.type_id);
    w.weights.resize(count);
    if (from.id == bq::type::f32) {
      source_.read(in, 4 * static_cast<std::uint64_t>(p.first), std::as_writable_bytes(std::span(w.weights)));
    } else {
      w.source.resize(bq::row_bytes(from.id, p.count));
      source_.read(in, bytes_before(from, p.first), w.source);
      bq::dequantize(from.id, w.source, 1, p.count, w.weights);
    }
    w.out.resize(bq::row_bytes(to.id, p.count));
    if (t.has_importance) {
      const auto importance = importance_of(p.tensor);
      const auto expert = static_cast<std::size_t>(p.first / (in.cols() * in.ne[1]));
      const auto cols = static_cast<std::size_t>(in.cols());
      const std::size_t at = importance->size() == cols ? 0 : expert * cols;
      bq::quantize(to.id, w.weights, p.count / in.cols(), in.cols(), w.out,
                   {.importance = std::span(*importance).subspan(at, cols)});
    } else {
      bq::quantize(to.id, w.weights, 1, p.count, w.out);
    }
    if (options_.measure_errors) measure(w, p, to, in.cols());
  }

  void measure(workspace& w, const piece& p, const bq::type_info& to, std::int64_t cols) const {
    w.decoded.resize(w.weights.size());
    bq::dequantize(to.id, w.out, 1, p.count, w.decoded);
    w.rows.clear();
    w.max_abs = 0;
    for (std::int64_t i = 0; i < p.count; ++i) {
      const std::int64_t row = (p.first + i) / cols;
      if (w.rows.empty() || w.rows.back().row != row) w.rows.push_back({row, 0, 0});
      const double x = w.weights[static_cast<std::size_t>(i)];
      const double difference = w.decoded[static_cast<std::size_t>(i)] - x;
      w.rows.back().error2 += difference * difference;
      w.rows.back().weight2 += x * x;
      w.max_abs = std::max(w.max_abs, std::abs(difference));
    }
  }

  void consume(workspace& w, const piece& p) {
    const planned_tensor& t = plan_.tensors[p.tensor];
    if (p.first == 0) digest_.restart();
    digest_.add(w.out);
    if (t.converts() && options_.measure_errors) add_errors(w, p);
    const bool last = t.converts() ? p.first + p.count == source_.tensors()[t.source].elements()
                                   : p.first + p.count == static_cast<std::int64_t>(t.bytes_in);
    bar_.advance(t.converts() ? bytes_before(known(t.from), p.count) : w.out.size());
    if (!last) return;
    result_.digests[p.tensor] = digest_.value();
    {
      const std::lock_guard lock(loading_);
      loaded_[p.tensor].reset();
    }
    bar_.finish_item(describe(t));
  }

  void add_errors(const workspace& w, const piece& p) {
    auto& total = result_.errors[p.tensor];
    if (!total) total.emplace();
    total->max_abs = std::max(total->max_abs, w.max_abs);
    for (const row_error& r : w.rows) {
      total->error2 += r.error2;
      total->weight2 += r.weight2;
      const double rms = r.weight2 > 0 ? std::sqrt(r.error2 / r.weight2) : 0;
      if (rms > total->worst_row_rms) {
        total->worst_row_rms = rms;
        total->worst_row = r.row;
      }
    }
  }

  // Loaded by the first piece of a tensor that needs it, dropped after the last.
  std::shared_ptr<const std::vector<float>> importance_of(std::size_t i) {
    const std::lock_guard lock(loading_);
    if (!loaded_[i]) {
      loaded_[i] = std::make_shared<const std::vector<float>>(importance_->load(plan_.tensors[i].importance_name));
    }
    return loaded_[i];
  }

  // The library knows rows of a piece; people need the tensor, its row and the byte in the file.
  bq::error explained(const bq::error& e, const workspace& w, const piece& p, const tensor& in) const {
    bq::error_info info = e.info();
    info.file = source_.shards()[in.shard].path;
    info.subject = in.name;
    if (info.code == bq::errc::not_finite) {
      const auto bad = std::find_if_not(w.weights.begin(), w.weights.end(), [](float x) { return std::isfinite(x); });
      const std::int64_t at = p.first + (bad - w.weights.begin());
      info.message = fmt::format("a weight is not finite at row {}, column {}", at / in.cols(), at % in.cols());
      const bq::type_info& from = known(in.type_id);
      info.offset = in.offset + bytes_before(from, at / from.block_size * from.block_size);
      info.advice = "the model is damaged, or was trained into overflow: get another copy";
    } else if (info.code == bq::errc::out_of_range) {
      info.message = fmt::format("weights in rows {} to {} are too large for {}", p.first / in.cols(),
                                 (p.first + p.count - 1) / in.cols(), known(plan_.tensors[p.tensor].out.type_id).name);
      info.advice = "give this tensor another type, with --tensor-type or a recipe";
    }
    return bq::error(std::move(info));
  }

  std::uint64_t out_offset(const piece& p) const {
    const planned_tensor& t = plan_.tensors[p.tensor];
    return t.converts() ? bytes_before(known(t.out.type_id), p.first) : static_cast<std::uint64_t>(p.first);
  }

  static std::uint64_t bytes_before(const bq::type_info& type, std::int64_t weights) {
    return static_cast<std::uint64_t>(weights) / type.block_size * type.block_bytes;
  }

  static std::string describe(const planned_tensor& t) {
    const std::string name = bq::printable(t.out.name);
    if (!t.converts())
      return fmt::format("{}: {} copied, {}", name, bq::gguf::label(t.from).name, bq_program::human_bytes(t.bytes_in));
    return fmt::format("{}: {} -> {}, {} -> {}", name, known(t.from).name, known(t.out.type_id).name,
                       bq_program::human_bytes(t.bytes_in), bq_program::human_bytes(t.out.bytes));
  }

  const bq::gguf::model& source_;
  const plan& plan_;
  const imatrix* const importance_;
  bq::gguf::writer& writer_;
  const run_options options_;
  const std::vector<piece> pieces_;
  std::mutex loading_;
  std::vector<std::shared_ptr<const std::vector<float>>> loaded_;
  digest digest_;
  bq_program::progress bar_;
  run_result result_;
};

std::int64_t weights_per_piece(const run_options& options, int threads) {
  const std::uint64_t memory =
      options.max_memory ? options.max_memory / static_cast<std::uint64_t>(threads) : default_memory_per_thread;
  const std::uint64_t weights = std::min(largest_piece, memory / bytes_per_weight) / 256 * 256;
  if (weights == 0) {
    throw bq::error(
        {.code = bq::errc::invalid_argument,
         .message = "too little memory to work with",
         .subject = "--max-memory",
         .expected = fmt::format("at least {} for {} threads",
                                 bq_program::human_bytes(256 * bytes_per_weight * static_cast<std::uint64_t>(threads)),
                                 threads),
         .found = bq_program::human_bytes(options.max_memory)});
  }
  return static_cast<std::int64_t>(weights);
}

void refuse_inputs_as_output(std::span<const std::string> outputs, const bq::gguf::model& source,
                             const imatrix* importance) {
  std::vector<std::string> inputs;
  for (const auto& s : source.shards()) inputs.push_back(s.path);
  if (importance) inputs.push_back(importance->path());
  for (const auto& out : outputs) bq_program::require_distinct(out, inputs);
}

}  // namespace

double tensor_error::rms() const { return weight2 > 0 ? std::sqrt(error2 / weight2) : 0; }

run_result run(const bq::gguf::model& source, const plan& p, const imatrix* importance, bq::gguf::metadata meta,
               const std::string& out, const bq::gguf::write_options& write_options, bq::executor& threads,
               const run_options& options) {
  const auto start = clock::now();
  std::vector<bq::gguf::tensor_shape> shapes;
  for (const planned_tensor& t : p.tensors) shapes.push_back(t.out);
  bq::gguf::writer writer(out, std::move(meta), std::move(shapes), write_options);
  refuse_inputs_as_output(writer.paths(), source, importance);

  auto result =
      job(source, p, importance, writer, options, weights_per_piece(options, threads.concurrency())).run(threads);
  writer.patch(key_digests, bq::gguf::value::of_u64s(result.digests));
  writer.commit();
  result.paths.assign(writer.paths().begin(), writer.paths().end());
  result.file_bytes = writer.total_bytes();
  result.seconds = std::chrono::duration<double>(clock::now() - start).count();
  return result;
}

}  // namespace bq_quantize
