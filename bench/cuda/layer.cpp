// bq-bench-cuda-layer: products as they lie in a model: norms and gates between them, which prepare the next one's
// activations. One layer of a Llama of 8 billion weights without its attention, in a CUDA graph of many; first its
// outputs are compared with those of the same calls one by one.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "blockquant/cuda_ops.hpp"
#include "sample.hpp"
#include "timing.hpp"

namespace {

constexpr std::int64_t width = 4096, projected = 6144, inner = 14336, layers = 4;

struct layer {
  bq::cuda::device_matrix qkv, output, gate_up, down;
  std::uint64_t bytes() const { return qkv.bytes() + output.bytes() + gate_up.bytes() + down.bytes(); }
};

// More than the second-level cache holds.
std::vector<layer> upload(bq::type id, bq::executor& threads) {
  const bench::sample narrow(id, width, threads), wide(id, inner, threads);
  bq::cuda::transfer mover(&threads);
  const auto matrix = [&](const bench::sample& w, std::int64_t rows) {
    return mover.upload({id, rows, w.cols, w.matrix_of(rows)});
  };
  std::vector<layer> all;
  for (int i = 0; i < layers; ++i)
    all.push_back({matrix(narrow, projected), matrix(narrow, width), matrix(narrow, 2 * inner), matrix(wide, width)});
  return all;
}

class run {
 public:
  run(const std::vector<layer>& all, std::int64_t tokens)
      : layers_(all), tokens_(tokens), start_(bench::random_activations(tokens, width)) {
    const std::vector<float> ones(width, 1.0f);
    bench::check(cudaMemcpy(weight_.get(), ones.data(), width * sizeof(float), cudaMemcpyHostToDevice));
  }

  void report(const std::string& name) {
    const std::vector<float> expected = outputs(true);
    if (!std::all_of(expected.begin(), expected.end(), [](float v) { return std::isfinite(v); }))
      throw std::runtime_error(name + ": outputs are not finite");
    if (std::memcmp(outputs(false).data(), expected.data(), expected.size() * sizeof(float)) != 0)
      throw std::runtime_error(name + ": kernels that overlap give other results");
    const bench::timing t = queue_.time(layers, [&](std::size_t i) { queue(layers_[i], false); });
    std::printf("%-7s %4lld tokens  %8.2f us a layer [%.2f, %.2f]  %5.2f TB/s\n", name.c_str(),
                static_cast<long long>(tokens_), t.median, t.least, t.most,
                static_cast<double>(layers_[0].bytes()) / t.median * 1e-6);
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

  const std::vector<layer>& layers_;
  std::int64_t tokens_;
  std::vector<float> start_;
  bench::queue queue_;
  bench::device_memory x_{floats(tokens_, width)}, y_{floats(tokens_, width)}, weight_{floats(1, width)};
  bench::device_memory qkv_{floats(tokens_, projected)}, gate_up_{floats(tokens_, 2 * inner)};
  bench::device_memory narrow_{bq::cuda::activation_bytes(tokens_, width)};
  bench::device_memory wide_{bq::cuda::activation_bytes(tokens_, inner)};
};

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Times a layer's products on the GPU, with the norms and gates between them, and checks them.");
  std::vector<std::string> names{"q4_K"};
  std::vector<std::int64_t> tokens{1, 2, 4, 8, 16, 64, 512};
  app.add_option("--types", names, "types of the weights (default: q4_K)")->delimiter(',');
  app.add_option("--tokens", tokens, "batch sizes")->delimiter(',')->check(CLI::Range(1, 1 << 14));
  CLI11_PARSE(app, argc, argv);
  try {
    if (bq::cuda::device_count() == 0) {
      std::fprintf(stderr, "bq-bench-cuda-layer: no GPU\n");
      return 1;
    }
    bq::thread_pool threads;
    for (const std::string& name : names) {
      const bq::type_info* t = bq::find_type(name);
      if (!t || !bq::can_quantize(t->id, width)) throw std::runtime_error(name + " is no type of weights");
      const std::vector<layer> all = upload(t->id, threads);
      for (const std::int64_t n : tokens) run(all, n).report(name);
    }
  } catch (const std::exception& e) {
    std::fprintf(stderr, "bq-bench-cuda-layer: %s\n", e.what());
    return 1;
  }
}
