// ggml, through its public interface: one graph with one ggml_mul_mat for each copy of the weights, on the CPU backend
// with a persistent thread pool; ggml_quantize_chunk on the rows of one chunk per thread, as llama.cpp calls it. Where
// the CPU backend has a buffer type that stores these weights in a layout of its own ("repacked"), that is a contestant
// too.
#include <fmt/format.h>
#include <ggml-backend.h>
#include <ggml-cpp.h>
#include <ggml-cpu.h>
#include <ggml.h>

#include <algorithm>
#include <blockquant/error.hpp>
#include <cstdio>
#include <limits>
#include <memory>

#include "../verify.hpp"
#include "peer.hpp"

namespace bq_bench {
namespace {

// ggml takes activations to 8 bits over at most 256 columns, their scales to f16, or the activations to bf16 or f16.
constexpr activation_rounding rounding{.run = 256, .levels = 127, .relative = 0x1p-8};

struct release_pool {
  void operator()(ggml_threadpool* p) const { ggml_threadpool_free(p); }
};

void only_warnings(ggml_log_level level, const char* text, void*) {
  if (level == GGML_LOG_LEVEL_WARN || level == GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr);
}

[[noreturn]] void fail(const char* what) {
  throw bq::error({.code = bq::errc::invalid_argument, .message = what, .subject = "ggml"});
}

std::string name() { return fmt::format("ggml {}", ggml_version()); }

// Ids are those of GGUF files, so both libraries have the same. An older ggml lacks the newest types.
bool is_known(const bq::type_info& format) {
  const auto id = static_cast<int>(format.id);
  return id < GGML_TYPE_COUNT && ggml_blck_size(static_cast<ggml_type>(id)) == format.block_size &&
         ggml_type_size(static_cast<ggml_type>(id)) == format.block_bytes;
}

class product {
 public:
  // `layout` is null for weights as they are, in the memory of `blocks`.
  product(const configuration& c, const rotation& blocks, std::span<const float> x, ggml_backend_buffer_type_t layout)
      : setup_(c), blocks_(blocks), x_(x), backend_(ggml_backend_cpu_init()) {
    ggml_threadpool_params params = ggml_threadpool_params_default(c.threads);
    pool_.reset(ggml_threadpool_new(&params));
    if (!backend_ || !pool_) fail("the CPU backend does not start");
    ggml_backend_cpu_set_n_threads(backend_.get(), c.threads);
    ggml_backend_cpu_set_threadpool(backend_.get(), pool_.get());

    weights_context_ = context(blocks.copies());
    const auto type = static_cast<ggml_type>(c.format->id);
    for (std::size_t i = 0; i < blocks.copies(); ++i)
      weights_.push_back(ggml_new_tensor_2d(weights_context_.get(), type, c.cols, c.rows));
    layout ? store(layout) : refer();
    build();
  }

  ~product() { ggml_backend_cpu_set_threadpool(backend_.get(), nullptr); }
  product(const product&) = delete;
  product& operator=(const product&) = delete;

  void call(std::size_t turn) {
    if (ggml_backend_graph_compute(backend_.get(), graphs_[turn % graphs_.size()]) != GGML_STATUS_SUCCESS)
      fail("the graph does not compute");
  }

  double check() {
    std::vector<float> y(static_cast<std::size_t>(setup_.tokens * setup_.rows),
                         std::numeric_limits<float>::quiet_NaN());
    ggml_backend_tensor_set(y_, y.data(), 0, y.size() * sizeof(float));
    call(0);
    ggml_backend_tensor_get(y_, y.data(), 0, y.size() * sizeof(float));
    return check_product({setup_.format->id, setup_.rows, setup_.cols, blocks_[0]}, x_, setup_.tokens, y, rounding);
  }

  // Idle workers would go on spinning for a while.
  void rest() { ggml_threadpool_pause(pool_.get()); }

 private:
  static ggml_context_ptr context(std::size_t tensors) {
    return ggml_context_ptr(ggml_init(
        {.mem_size = (tensors + 1) * ggml_tensor_overhead() + tensors * ggml_graph_overhead_custom(graph_nodes, false),
         .mem_buffer = nullptr,
         .no_alloc = true}));
  }

  void refer() {
    for (std::size_t i = 0; i < weights_.size(); ++i) {
      void* data = const_cast<std::byte*>(blocks_[i].data());
      weights_buffers_.emplace_back(ggml_backend_cpu_buffer_from_ptr(data, blocks_[i].size()));
      ggml_backend_tensor_alloc(weights_buffers_.back().get(), weights_[i], data);
    }
  }

  void store(ggml_backend_buffer_type_t layout) {
    weights_buffers_.emplace_back(ggml_backend_alloc_ctx_tensors_from_buft(weights_context_.get(), layout));
    if (!weights_buffers_.back()) fail("no memory for weights");
    ggml_backend_buffer_set_usage(weights_buffers_.back().get(), GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
    for (std::size_t i = 0; i < weights_.size(); ++i)
      ggml_backend_tensor_set(weights_[i], blocks_[i].data(), 0, blocks_[i].size());
  }

  // All products read one x and write one y.
  void build() {
    io_context_ = context(2);
    ggml_tensor* x = ggml_new_tensor_2d(io_context_.get(), GGML_TYPE_F32, setup_.cols, setup_.tokens);
    y_ = ggml_new_tensor_2d(io_context_.get(), GGML_TYPE_F32, setup_.rows, setup_.tokens);
    io_buffer_.reset(ggml_backend_alloc_ctx_tensors(io_context_.get(), backend_.get()));
    if (!io_buffer_) fail("no memory for activations");
    ggml_backend_tensor_set(x, x_.data(), 0, x_.size_bytes());

    graph_context_ = context(weights_.size());
    for (ggml_tensor* w : weights_) {
      ggml_tensor* y = ggml_mul_mat(graph_context_.get(), w, x);
      ggml_backend_tensor_alloc(io_buffer_.get(), y, y_->data);
      graphs_.push_back(ggml_new_graph_custom(graph_context_.get(), graph_nodes, false));
      ggml_build_forward_expand(graphs_.back(), y);
    }
  }

  static constexpr std::size_t graph_nodes = 4;

  configuration setup_;
  const rotation& blocks_;
  std::span<const float> x_;
  std::unique_ptr<ggml_threadpool, release_pool> pool_;
  ggml_backend_ptr backend_;
  ggml_context_ptr weights_context_, io_context_, graph_context_;
  std::vector<ggml_backend_buffer_ptr> weights_buffers_;
  ggml_backend_buffer_ptr io_buffer_;
  std::vector<ggml_tensor*> weights_;
  std::vector<ggml_cgraph*> graphs_;
  ggml_tensor* y_ = nullptr;
};

contestant contestant_of(std::string name, std::shared_ptr<product> p) {
  contestant out;
  out.peer = std::move(name);
  out.call = [p](std::size_t turn) { p->call(turn); };
  out.check = [p] { return p->check(); };
  out.rest = [p] { p->rest(); };
  return out;
}

// True when the CPU backend multiplies such weights out of buffers of this type.
bool accepts(ggml_backend_dev_t device, ggml_backend_buffer_type_t layout, const configuration& c) {
  const ggml_context_ptr context(
      ggml_init({.mem_size = 3 * ggml_tensor_overhead(), .mem_buffer = nullptr, .no_alloc = true}));
  ggml_tensor* w = ggml_new_tensor_2d(context.get(), static_cast<ggml_type>(c.format->id), c.cols, c.rows);
  ggml_tensor* x = ggml_new_tensor_2d(context.get(), GGML_TYPE_F32, c.cols, c.tokens);
  const ggml_backend_buffer_ptr empty(ggml_backend_buft_alloc_buffer(layout, 0));
  w->buffer = empty.get();
  return ggml_backend_dev_supports_op(device, ggml_mul_mat(context.get(), w, x));
}

}  // namespace

std::vector<contestant> product_peers(const configuration& c, const rotation& blocks, std::span<const float> x) {
  std::vector<contestant> out;
  if (!is_known(*c.format)) return out;
  ggml_log_set(only_warnings, nullptr);
  out.push_back(contestant_of(name(), std::make_shared<product>(c, blocks, x, nullptr)));

  ggml_backend_reg_t registry = ggml_backend_cpu_reg();
  ggml_backend_dev_t device = ggml_backend_reg_dev_get(registry, 0);
  const auto layouts = reinterpret_cast<ggml_backend_dev_get_extra_bufts_t>(
      ggml_backend_reg_get_proc_address(registry, "ggml_backend_dev_get_extra_bufts"));
  if (!layouts) return out;
  for (ggml_backend_buffer_type_t* layout = layouts(device); layout && *layout; ++layout) {
    if (accepts(device, *layout, c))
      out.push_back(contestant_of(name() + " repacked", std::make_shared<product>(c, blocks, x, *layout)));
  }
  return out;
}

std::vector<quantize_peer> quantize_peers(const configuration& c, bq::executor& threads) {
  const auto type = static_cast<ggml_type>(c.format->id);
  if (!is_known(*c.format) || ggml_quantize_requires_imatrix(type)) return {};
  ggml_quantize_init(type);
  return {{name(), [c, type, &threads](std::span<const float> weights, std::span<std::byte> blocks) {
             const std::int64_t chunk = (c.rows + c.threads - 1) / c.threads;
             threads.run(static_cast<std::size_t>((c.rows + chunk - 1) / chunk), [&](std::size_t i) {
               const std::int64_t first = static_cast<std::int64_t>(i) * chunk;
               ggml_quantize_chunk(type, weights.data(), blocks.data(), first * c.cols, std::min(chunk, c.rows - first),
                                   c.cols, nullptr);
             });
           }}};
}

}  // namespace bq_bench
