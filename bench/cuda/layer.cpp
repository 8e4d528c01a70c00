// bq-bench-cuda-layer: products as they lie in a model: norms and gates between them, which prepare the next one's
// activations. One layer of a Llama of 8 billion weights without its attention, in a CUDA graph of many; first its
// outputs are compared with those of the same calls one by one.
#include <blockquant/cuda_ops.hpp>
#include <blockquant/quantize.hpp>
#include <blockquant/types.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "timing.hpp"

namespace {

constexpr std::int64_t width = 4096, projected = 6144, inner = 14336, layers = 4;

std::vector<float> random_values(std::size_t n, float sigma) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, sigma);
  std::vector<float> out(n);
  for (float& v : out) v = normal(random);
  return out;
}

// Weights whose rows repeat every 64.
bq::cuda::device_matrix upload(bq::cuda::transfer& mover, bq::type id, std::int64_t rows, std::int64_t cols) {
  constexpr std::int64_t distinct = 64;
  const std::size_t row_bytes = bq::row_bytes(id, cols);
  std::vector<std::byte> blocks(static_cast<std::size_t>(rows) * row_bytes);
  const std::vector<float> weights = random_values(static_cast<std::size_t>(distinct * cols), 0.02f);
  const std::size_t part = distinct * row_bytes;
  bq::quantize(id, weights, distinct, cols, std::span(blocks).first(part));
  for (std::size_t at = part; at < blocks.size(); at += part) std::memcpy(blocks.data() + at, blocks.data(), part);
  return mover.upload({id, rows, cols, blocks});
}

struct layer {
  bq::cuda::device_matrix qkv, output, gate_up, down;
  std::uint64_t bytes() const { return qkv.bytes() + output.bytes() + gate_up.bytes() + down.bytes(); }
};

class run {
 public:
  run(bq::type id, std::int64_t tokens)
      : tokens_(tokens), start_(random_values(static_cast<std::size_t>(tokens * width), 1)) {
    bq::cuda::transfer mover(nullptr, queue_.stream);
    for (int i = 0; i < layers; ++i) {
      layers_.push_back({upload(mover, id, projected, width), upload(mover, id, width, width),
                         upload(mover, id, 2 * inner, width), upload(mover, id, width, inner)});
    }
    const std::vector<float> ones(width, 1.0f);
    bench::check(cudaMemcpy(weight_.get(), ones.data(), width * sizeof(float), cudaMemcpyHostToDevice));
  }

  void report(const char* name) {
    const std::vector<float> expected = outputs(true);
    if (std::memcmp(outputs(false).data(), expected.data(), expected.size() * sizeof(float)) != 0)
      throw std::runtime_error(std::string(name) + ": kernels that overlap give other results");
    const bench::timing t = queue_.time(layers, [&](std::size_t i) { queue(layers_[i], false); });
    std::printf("%-7s %4lld tokens  %8.2f us a layer [%.2f, %.2f]  %5.2f TB/s\n", name, static_cast<long long>(tokens_),
                t.median, t.least, t.most, static_cast<double>(layers_[0].bytes()) / t.median * 1e-6);
    std::fflush(stdout);
  }

 private:
  static std::size_t floats(std::int64_t rows, std::int64_t cols) {
    return static_cast<std::size_t>(rows * cols) * sizeof(float);
  }

  void queue(const layer& l, bool wait) {
    const auto s = queue_.stream;
    const auto at = [](const bench::device_memory& m) { return static_cast<float*>(m.get()); };
    const bq::cuda::activations narrow{narrow_.get(), tokens_, width}, wide{wide_.get(), tokens_, inner};
    const bq::cuda::activation_outputs to_narrow{.prepared = narrow}, to_wide{.prepared = wide};
    const auto done = [&] {
      if (wait) queue_.wait();
    };
    bq::cuda::rms_norm(at(x_), at(y_), at(weight_), 1e-5f, tokens_, width, to_narrow, s), done();
    bq::cuda::matmul(l.qkv, narrow, at(qkv_), s), done();
    bq::cuda::convert_activations(at(qkv_), tokens_, width, to_narrow, s), done();  // in place of the attention
    bq::cuda::matmul(l.output, narrow, at(y_), s), done();
    bq::cuda::rms_norm(at(x_), at(y_), at(weight_), 1e-5f, tokens_, width, to_narrow, s), done();
    bq::cuda::matmul(l.gate_up, narrow, at(gate_up_), s), done();
    bq::cuda::gated(bq::activation::silu, at(gate_up_), at(gate_up_) + inner, tokens_, inner, to_wide, 2 * inner, s);
    done();
    bq::cuda::matmul(l.down, wide, at(y_), s), done();
  }

  std::vector<float> outputs(bool wait) {
    bench::check(cudaMemcpy(x_.get(), start_.data(), floats(tokens_, width), cudaMemcpyHostToDevice));
    bench::check(cudaMemset(y_.get(), 0, floats(tokens_, width)));
    for (const layer& l : layers_) queue(l, wait);
    queue_.wait();
    std::vector<float> out(start_.size());
    y_.fetch(out.data(), floats(tokens_, width));
    return out;
  }

  std::int64_t tokens_;
  std::vector<float> start_;
  bench::queue queue_;
  std::vector<layer> layers_;
  bench::device_memory x_{floats(tokens_, width)}, y_{floats(tokens_, width)}, weight_{floats(1, width)};
  bench::device_memory qkv_{floats(tokens_, projected)}, gate_up_{floats(tokens_, 2 * inner)};
  bench::device_memory narrow_{bq::cuda::activation_bytes(tokens_, width)};
  bench::device_memory wide_{bq::cuda::activation_bytes(tokens_, inner)};
};

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc > 2) {
      std::fprintf(stderr, "Usage: bq-bench-cuda-layer [TYPE]    a type of weights, as q4_K (default)\n");
      return 2;
    }
    if (bq::cuda::device_count() == 0) {
      std::fprintf(stderr, "bq-bench-cuda-layer: no GPU\n");
      return 1;
    }
    const char* name = argc > 1 ? argv[1] : "q4_K";
    const bq::type_info* type = bq::find_type(std::string_view(name));
    if (!type || !bq::can_quantize(type->id, width)) {
      std::fprintf(stderr, "bq-bench-cuda-layer: %s is no type of weights\n", name);
      return 2;
    }
    for (const std::int64_t tokens : {1, 2, 4, 8, 16, 64, 512}) run(type->id, tokens).report(name);
    return 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "bq-bench-cuda-layer: %s\n", e.what());
    return 1;
  }
}
