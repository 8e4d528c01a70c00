// bq-bench-cuda: products on the GPU, timed as they run in a model: kernels that follow one another in a CUDA graph,
// weights rotated past the second-level cache. Every product is checked against f64 on sampled rows and tokens before
// it is timed; cuBLAS in bf16 runs beside, in the same run. Prints a table, or CSV.
#include <cuda_runtime_api.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "blockquant/cuda.hpp"
#include "library.hpp"
#include "sample.hpp"
#include "timing.hpp"

namespace {

struct shape {
  std::int64_t rows, cols;
};

constexpr std::int64_t most_checked = 64;
constexpr std::uint64_t rotated_bytes = std::uint64_t{200} << 20;

using bench::distinct_rows, bench::random_activations, bench::sample;

// At most most_checked of n, the first and the last among them.
struct sampled {
  std::int64_t n, count = std::min(n, most_checked);
  std::int64_t at(std::int64_t i) const { return i * (n - 1) / std::max<std::int64_t>(1, count - 1); }
};

// The largest error on sampled rows and tokens, relative to the sum of magnitudes.
double error_of(const sample& w, std::int64_t rows, const std::vector<float>& x, std::int64_t tokens,
                const std::vector<float>& y) {
  double worst = 0;
  const sampled some_rows{rows}, some_tokens{tokens};
  for (std::int64_t i = 0; i < some_rows.count; ++i) {
    const std::int64_t row = some_rows.at(i);
    const float* weights = w.decoded.data() + row % distinct_rows * w.cols;
    for (std::int64_t j = 0; j < some_tokens.count; ++j) {
      const std::int64_t n = some_tokens.at(j);
      double sum = 0, magnitude = 0;
      for (std::int64_t k = 0; k < w.cols; ++k) {
        const double term =
            static_cast<double>(weights[k]) * static_cast<double>(x[static_cast<std::size_t>(n * w.cols + k)]);
        sum += term;
        magnitude += std::abs(term);
      }
      const double found = static_cast<double>(y[static_cast<std::size_t>(n * rows + row)]);
      const double error = std::abs(found - sum) / magnitude;
      worst = error <= worst ? worst : error;  // NaN stays
    }
  }
  return worst;
}

struct line {
  std::string name;
  shape size;
  std::int64_t tokens;
  double bytes, error;  // error: negative where it was not checked
  bench::timing product, with_prepare;
};

void print(const line& l, bool csv) {
  const double rate = l.bytes / l.product.median * 1e-6;
  const double flops = 2e-6 * static_cast<double>(l.size.rows * l.size.cols * l.tokens) / l.product.median;
  if (csv) {
    std::printf("%s,%lld,%lld,%lld,%.0f,%.3f,%.3f,%.3f,%.3f,%.3f,%.1f,%.2e\n", l.name.c_str(),
                static_cast<long long>(l.size.rows), static_cast<long long>(l.size.cols),
                static_cast<long long>(l.tokens), l.bytes, l.product.median, l.product.least, l.product.most,
                l.with_prepare.median, rate, flops, l.error);
  } else {
    std::printf("%-7s %6lld x %-6lld %4lld  %8.2f us [%.2f, %.2f]  with prepare %8.2f us  %5.2f TB/s  %6.1f TFLOP/s\n",
                l.name.c_str(), static_cast<long long>(l.size.rows), static_cast<long long>(l.size.cols),
                static_cast<long long>(l.tokens), l.product.median, l.product.least, l.product.most,
                l.with_prepare.median, rate, flops);
  }
  std::fflush(stdout);
}

// What a product may be wrong by, relative to the sum of magnitudes. Bytes of normal values under a scale for 256 are
// wrong by 0.7 % of their RMS, weights and activations, and errors of columns are independent: 8 times what follows.
double tolerance(bq::tier tier, std::int64_t cols) {
  return tier == bq::tier::fast ? 8 * 0.0157 / std::sqrt(static_cast<double>(cols)) : 1e-3;
}

void run_format(const bq::type_info& t, const shape& size, const std::vector<std::int64_t>& batches, bq::tier tier,
                bool csv, bq::executor& threads) {
  if (!bq::can_quantize(t.id, size.cols)) return;
  const sample w(t.id, size.cols, threads);
  bench::queue queue;
  bq::cuda::transfer mover(&threads, queue.stream);
  std::vector<bq::cuda::device_matrix> copies;
  const auto blocks = w.matrix_of(size.rows);
  do {
    copies.push_back(mover.upload({t.id, size.rows, size.cols, blocks}, tier));
  } while (copies.size() * copies.back().bytes() < rotated_bytes || copies.size() < 2);

  for (const std::int64_t tokens : batches) {
    const auto x = random_activations(tokens, size.cols);
    const bench::device_memory device_x(x.data(), x.size() * sizeof(float));
    const bench::device_memory memory(bq::cuda::activation_bytes(tokens, size.cols, tier));
    const bq::cuda::activations ready{memory.get(), tokens, size.cols, tier};
    std::vector<float> y(static_cast<std::size_t>(tokens * size.rows));
    const bench::device_memory device_y(y.size() * sizeof(float));
    auto* out = static_cast<float*>(device_y.get());

    bq::cuda::prepare(device_x.get(), bq::cuda::element::f32, ready, queue.stream);
    bq::cuda::matmul(copies.back(), ready, out, queue.stream);
    queue.wait();
    device_y.fetch(y.data(), y.size() * sizeof(float));
    line l{std::string(t.name),
           size,
           tokens,
           static_cast<double>(tier == bq::tier::fast ? copies.back().bytes() : blocks.size()),
           error_of(w, size.rows, x, tokens, y),
           {},
           {}};
    if (!(l.error < tolerance(tier, size.cols))) {
      std::fprintf(stderr, "%s %lld x %lld, %lld tokens: wrong by %.2e\n", l.name.c_str(),
                   static_cast<long long>(size.rows), static_cast<long long>(size.cols), static_cast<long long>(tokens),
                   l.error);
      continue;
    }
    l.product =
        queue.time(copies.size(), [&](std::size_t i) { bq::cuda::matmul(copies[i], ready, out, queue.stream); });
    l.with_prepare = queue.time(copies.size(), [&](std::size_t i) {
      bq::cuda::prepare(device_x.get(), bq::cuda::element::f32, ready, queue.stream);
      bq::cuda::matmul(copies[i], ready, out, queue.stream);
    });
    print(l, csv);
  }
}

// The same values as for the library's own products: what they are decides how fast the clocks can be.
void run_library(const shape& size, const std::vector<std::int64_t>& batches, bool csv, bq::executor& threads) {
  bench::queue queue;
  const std::vector<std::byte> host = sample(bq::type::bf16, size.cols, threads).matrix_of(size.rows);
  const std::uint64_t bytes = host.size();
  std::vector<bench::device_memory> copies;
  do {
    copies.emplace_back(host.data(), bytes);
  } while (copies.size() * bytes < rotated_bytes || copies.size() < 2);
  for (const std::int64_t tokens : batches) {
    std::vector<std::byte> values(static_cast<std::size_t>(tokens * size.cols) * 2);
    bq::quantize(bq::type::bf16, random_activations(tokens, size.cols), tokens, size.cols, values);
    const bench::device_memory x(values.data(), values.size());
    const bench::device_memory y(static_cast<std::size_t>(tokens * size.rows) * 2);
    bench::library library(queue.stream);
    line l{"cublas", size, tokens, static_cast<double>(bytes), -1, {}, {}};
    l.product = l.with_prepare = queue.time(copies.size(), [&](std::size_t i) {
      library.product(copies[i].get(), x.get(), y.get(), size.rows, size.cols, tokens);
    });
    print(l, csv);
  }
}

shape shape_of(const std::string& text) {
  const auto x = text.find('x');
  if (x == std::string::npos) throw CLI::ValidationError("--shapes", text + " is not ROWSxCOLS");
  return {std::stoll(text.substr(0, x)), std::stoll(text.substr(x + 1))};
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Times products on the GPU, and checks them.");
  std::vector<std::string> names, shapes{"14336x4096"};
  std::vector<std::int64_t> tokens{1, 8, 16, 32, 64};
  bq::tier tier = bq::tier::exact;
  bool csv = false;
  app.add_option("--types", names, "types, as q4_K,q8_0 (default: all)")->delimiter(',');
  app.add_option("--shapes", shapes, "rows x cols of the weights, as 14336x4096,4096x4096")->delimiter(',');
  app.add_option("--tokens", tokens, "batch sizes")->delimiter(',')->check(CLI::Range(1, 1 << 16));
  const std::map<std::string, bq::tier> tiers{{"exact", bq::tier::exact}, {"fast", bq::tier::fast}};
  app.add_option("--tier", tier, "exact (default) or fast")->transform(CLI::CheckedTransformer(tiers));
  app.add_flag("--csv", csv, "comma-separated values");
  CLI11_PARSE(app, argc, argv);
  try {
    if (bq::cuda::device_count() == 0) {
      std::fprintf(stderr, "bq-bench-cuda: no GPU\n");
      return 1;
    }
    if (csv)
      std::printf(
          "type,rows,cols,tokens,bytes,median_us,least_us,most_us,with_prepare_us,tb_per_s,tflop_per_s,error\n");
    bq::thread_pool threads;
    for (const std::string& text : shapes) {
      const shape size = shape_of(text);
      if (bench::library::available) run_library(size, tokens, csv, threads);
      for (const bq::type_info& t : bq::types()) {
        const bool wanted = names.empty() || std::find(names.begin(), names.end(), t.name) != names.end();
        if (wanted && !t.activation_only) run_format(t, size, tokens, tier, csv, threads);
      }
    }
  } catch (const std::exception& e) {
    std::fprintf(stderr, "bq-bench-cuda: %s\n", e.what());
    return 1;
  }
}
