// bq-bench-cuda-operations: how close the GPU's conversions and operations come to its memory's bandwidth. A table with
// one line for each: time of one call inside a CUDA graph, bytes that it cannot avoid moving, and the share of what a
// large copy on the same device reaches. Inputs are random, and rotate through more than the last-level cache.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <blockquant/cuda_ops.hpp>
#include <blockquant/error.hpp>
#include <cmath>
#include <cstdio>
#include <functional>
#include <numeric>
#include <random>
#include <string>
#include <vector>

namespace {

void check(cudaError_t e, const char* what) {
  if (e == cudaSuccess) return;
  throw bq::error({.code = bq::errc::device,
                   .message = "the bench's own call failed",
                   .subject = what,
                   .found = cudaGetErrorString(e)});
}

// Device memory full of random numbers of N(0, 1); of `n` floats.
class floats {
 public:
  explicit floats(std::size_t n) {
    check(cudaMalloc(reinterpret_cast<void**>(&p_), n * sizeof(float)), "cudaMalloc");
    static const std::vector<float> numbers = [] {
      std::vector<float> x(1 << 20);
      std::mt19937 random(1);
      std::normal_distribution<float> normal;
      for (float& v : x) v = normal(random);
      return x;
    }();
    for (std::size_t at = 0; at < n; at += numbers.size()) {
      check(
          cudaMemcpy(p_ + at, numbers.data(), std::min(numbers.size(), n - at) * sizeof(float), cudaMemcpyHostToDevice),
          "cudaMemcpy");
    }
  }
  ~floats() { cudaFree(p_); }
  floats(const floats&) = delete;
  floats& operator=(const floats&) = delete;
  float* get() const { return p_; }

 private:
  float* p_ = nullptr;
};

template <class T>
class numbers {
 public:
  explicit numbers(const std::vector<T>& v) : memory_(v.size() * sizeof(T) / sizeof(float) + 1) {
    check(cudaMemcpy(memory_.get(), v.data(), v.size() * sizeof(T), cudaMemcpyHostToDevice), "cudaMemcpy");
  }
  T* get() const { return reinterpret_cast<T*>(memory_.get()); }

 private:
  floats memory_;
};

// Median seconds of one call: graphs of `calls` of them, call i on the i-th of the rotating buffers.
double seconds_of(int calls, const std::function<void(int, bq::cuda::stream)>& call) {
  cudaStream_t s = nullptr;
  check(cudaStreamCreate(&s), "cudaStreamCreate");
  call(0, s);
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  check(cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  for (int i = 0; i < calls; ++i) call(i, s);
  check(cudaStreamEndCapture(s, &graph), "cudaStreamEndCapture");
  check(cudaGraphInstantiate(&executable, graph, 0), "cudaGraphInstantiate");
  cudaEvent_t from = nullptr, to = nullptr;
  check(cudaEventCreate(&from), "cudaEventCreate");
  check(cudaEventCreate(&to), "cudaEventCreate");
  std::vector<float> ms(7);
  check(cudaGraphLaunch(executable, s), "cudaGraphLaunch");
  for (float& t : ms) {
    check(cudaEventRecord(from, s), "cudaEventRecord");
    check(cudaGraphLaunch(executable, s), "cudaGraphLaunch");
    check(cudaEventRecord(to, s), "cudaEventRecord");
    check(cudaEventSynchronize(to), "cudaEventSynchronize");
    check(cudaEventElapsedTime(&t, from, to), "cudaEventElapsedTime");
  }
  std::sort(ms.begin(), ms.end());
  cudaEventDestroy(from);
  cudaEventDestroy(to);
  cudaGraphExecDestroy(executable);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(s);
  return ms[ms.size() / 2] * 1e-3 / calls;
}

// Bytes read and written per second by copies too large for any cache; outside a graph, where copies run on the
// multiprocessors.
double copy_bandwidth(const floats& from, const floats& to) {
  constexpr int copies = 8;
  constexpr std::size_t bytes = std::size_t{1} << 30;
  cudaEvent_t begin = nullptr, end = nullptr;
  check(cudaEventCreate(&begin), "cudaEventCreate");
  check(cudaEventCreate(&end), "cudaEventCreate");
  for (int i = -1; i < copies; ++i) {  // the first is not timed
    if (i == 0) check(cudaEventRecord(begin), "cudaEventRecord");
    check(cudaMemcpyAsync(to.get(), from.get(), bytes, cudaMemcpyDeviceToDevice), "cudaMemcpyAsync");
  }
  check(cudaEventRecord(end), "cudaEventRecord");
  check(cudaEventSynchronize(end), "cudaEventSynchronize");
  float ms = 0;
  check(cudaEventElapsedTime(&ms, begin, end), "cudaEventElapsedTime");
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  return 2.0 * copies * static_cast<double>(bytes) / (ms * 1e-3);
}

class table {
 public:
  explicit table(double bandwidth) : bandwidth_(bandwidth) {
    std::printf("device-to-device copy: %.2f TB/s, read and written bytes counted\n", bandwidth * 1e-12);
    std::printf("%-44s %12s %10s %8s  %s\n", "operation", "us", "TB/s", "copy%", "");
  }
  void row(const std::string& name, double seconds, double bytes, const std::string& note = {}) const {
    std::printf("%-44s %12.2f %10.2f %8.1f  %s\n", name.c_str(), seconds * 1e6, bytes / seconds * 1e-12,
                100 * bytes / seconds / bandwidth_, note.c_str());
    std::fflush(stdout);
  }

 private:
  double bandwidth_;
};

constexpr std::int64_t rows = 14336, cols = 4096;
constexpr std::size_t pool_floats = std::size_t{1} << 28;  // 1 GiB: no cache holds it

void conversions(const table& t, const floats& pool, const floats& blocks) {
  const double weights = static_cast<double>(rows) * cols;
  for (const bq::type_info& f : bq::types()) {
    const double bytes = weights * f.bits_per_weight() / 8;
    auto* b = reinterpret_cast<std::byte*>(blocks.get());
    const double q = seconds_of(2, [&](int i, bq::cuda::stream s) {
      bq::cuda::quantize(f.id, bq::cuda::element::f32, pool.get() + i * rows * cols, rows, cols,
                         b + i * static_cast<std::int64_t>(bytes), {}, s);
    });
    char note[80];
    std::snprintf(note, sizeof note, "%.1f Gweights/s: 6.7e9 in %.3f s", weights / q * 1e-9, 6.7e9 / weights * q);
    t.row("quantize f32 -> " + std::string(f.name), q, weights * 4 + bytes, note);
    const double d = seconds_of(4, [&](int i, bq::cuda::stream s) {
      bq::cuda::dequantize(f.id, b + i % 2 * static_cast<std::int64_t>(bytes), rows, cols, bq::cuda::element::f16,
                           reinterpret_cast<std::uint16_t*>(pool.get() + (1 << 27)) + i % 2 * rows * cols, s);
    });
    t.row("dequantize " + std::string(f.name) + " -> f16", d, weights * 2 + bytes);
  }
}

void activations(const table& t, const floats& pool, const floats& more) {
  const floats weight(1 << 16);
  for (const std::int64_t tokens : {1, 32, 512, 4096}) {
    for (const std::int64_t width : {4096, 14336}) {
      const std::int64_t n = tokens * width, calls = std::clamp<std::int64_t>((1 << 26) / n, 4, 64);
      const auto at = [&](int i) { return static_cast<std::int64_t>(i) * n % ((1 << 27) - n) / 64 * 64; };
      const auto run = [&](const char* name, double bytes, const auto& call) {
        const double s = seconds_of(static_cast<int>(calls), [&](int i, bq::cuda::stream st) {
          call(pool.get() + at(i), pool.get() + (1 << 27) + at(i), more.get() + at(i), st);
        });
        t.row(std::string(name) + " " + std::to_string(tokens) + " x " + std::to_string(width), s,
              static_cast<double>(n) * bytes);
      };
      const auto halves = [&](float* out) { return bq::cuda::activation_outputs{.prepared = {out, tokens, width}}; };
      const auto codes = [&](float* out, std::int64_t group) {
        return bq::cuda::activation_outputs{
            .codes = reinterpret_cast<std::int8_t*>(out), .scales = out + n, .group = group};
      };
      run("convert to f16", 6, [&](float* x, float*, float* out, auto s) {
        bq::cuda::convert_activations(x, tokens, width, halves(out), s);
      });
      run("convert to int8 per 32", 5.125, [&](float* x, float*, float* out, auto s) {
        bq::cuda::convert_activations(x, tokens, width, codes(out, 32), s);
      });
      run("convert to int8 per token", 5, [&](float* x, float*, float* out, auto s) {
        bq::cuda::convert_activations(x, tokens, width, codes(out, width), s);
      });
      run("rms_norm + residual -> f16", 14, [&](float* x, float* residual, float* out, auto s) {
        bq::cuda::rms_norm(x, residual, weight.get(), 1e-5f, tokens, width, halves(out), s);
      });
      run("silu gate -> f16", 10, [&](float* x, float* up, float* out, auto s) {
        bq::cuda::gated(bq::activation::silu, x, up, tokens, width, halves(out), 0, s);
      });
      if (width != 4096) continue;
      run("rope, 32 heads of 128", 8, [&](float* x, float*, float* tables, auto s) {
        bq::cuda::apply_rope(x, tokens, 32, 128, {bq::rope_pairing::halves, 128, tables, tables + n}, 0, s);
      });
    }
  }
}

void attention(const table& t, const floats& pool, const floats& cache_memory) {
  constexpr std::int64_t heads = 32, kv_heads = 8, head_dim = 128, page = 16, width = kv_heads * head_dim;
  bq::attention_options o;
  o.heads = heads, o.kv_heads = kv_heads, o.head_dim = head_dim;
  o.scale = 1 / std::sqrt(static_cast<float>(head_dim));
  const floats scratch(std::size_t{1} << 27);
  for (const bq::type id : {bq::type::f16, bq::type::q8_0, bq::type::q4_0}) {
    const auto row_bytes = static_cast<std::int64_t>(bq::row_bytes(id, width));
    const std::int64_t slots = 64 * 4096;
    auto* memory = reinterpret_cast<std::byte*>(cache_memory.get());
    const bq::cuda::paged_cache cache{id, id, memory, memory + slots * row_bytes, slots, page, kv_heads, head_dim};
    std::vector<std::int64_t> order(static_cast<std::size_t>(slots));
    std::iota(order.begin(), order.end(), 0);
    const numbers<std::int64_t> to(order);
    bq::cuda::append(cache, bq::cuda::element::f32, pool.get(), pool.get() + 4096, to.get(), slots / 2);
    bq::cuda::append(cache, bq::cuda::element::f32, pool.get(), pool.get() + 4096, to.get() + slots / 2, slots / 2);
    const std::string name(bq::info(id).name);
    for (const std::int64_t tokens : {1, 64, 4096}) {
      const double s = seconds_of(16, [&](int i, bq::cuda::stream st) {
        bq::cuda::append(cache, bq::cuda::element::f32, pool.get() + i * tokens * width, pool.get() + (1 << 27),
                         to.get() + i * tokens, tokens, st);
      });
      t.row("append " + name + ", " + std::to_string(tokens) + " tokens", s,
            static_cast<double>(tokens) * 2 * static_cast<double>(row_bytes + 4 * width));
    }
    std::vector<std::int32_t> pages(static_cast<std::size_t>(slots / page));
    std::iota(pages.begin(), pages.end(), 0);
    std::shuffle(pages.begin(), pages.end(), std::mt19937(2));
    const numbers<std::int32_t> table_of_pages(pages);
    const auto run = [&](const std::string& what, std::int64_t sequences, std::int64_t context, std::int64_t tokens) {
      std::vector<std::int32_t> first, positions;
      for (std::int64_t i = 0; i <= sequences; ++i) first.push_back(static_cast<std::int32_t>(i * tokens));
      for (std::int64_t i = 0; i < sequences; ++i) positions.push_back(static_cast<std::int32_t>(context - tokens));
      const numbers<std::int32_t> f(first), p(positions);
      const bq::cuda::attention_batch batch{
          sequences, sequences * tokens, f.get(), p.get(), table_of_pages.get(), context / page, tokens, context};
      if (bq::cuda::attention_scratch(batch, o) > std::int64_t{1} << 29) return;
      const double s = seconds_of(4, [&](int i, bq::cuda::stream st) {
        bq::cuda::attention(pool.get() + i * (1 << 22), cache, batch, pool.get() + (1 << 27), scratch.get(), o, st);
      });
      const double seen = static_cast<double>(context) - static_cast<double>(tokens - 1) / 2;
      const double flops = 4.0 * heads * head_dim * seen * static_cast<double>(sequences * tokens);
      char note[40];
      std::snprintf(note, sizeof note, "%.1f TFLOP/s", flops / s * 1e-12);
      t.row(what, s, static_cast<double>(sequences * context * 2 * row_bytes), note);
    };
    for (const std::int64_t sequences : {1, 8, 64}) {
      run("decode " + name + ", " + std::to_string(sequences) + " x 4096", sequences, 4096, 1);
    }
    run("decode " + name + ", 4 x 32768", 4, 32768, 1);
    run("prefill " + name + ", 4096 tokens", 1, 4096, 4096);
  }
}

}  // namespace

int main() {
  try {
    if (bq::cuda::device_count() == 0) {
      std::fprintf(stderr, "bq-bench-cuda-operations: no GPU\n");
      return 1;
    }
    const floats pool(pool_floats), more(pool_floats);
    const table t(copy_bandwidth(pool, more));
    conversions(t, pool, more);
    const floats again(pool_floats);
    activations(t, again, more);
    attention(t, again, more);
    return 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "bq-bench-cuda-operations: %s\n", e.what());
    return 1;
  }
}
