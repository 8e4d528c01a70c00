// matmul: checks, the workspace, the activations' quantisation, and the division of the product into tasks: strips of
// rows, times blocks of tokens where there are many.
#include "blockquant/matmul.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <string>
#include <vector>

#include "activations.hpp"
#include "blockquant/error.hpp"
#include "kernels.hpp"

namespace bq {

namespace {

constexpr std::int64_t tokens_per_task = 512;  // a strip's outputs for them stay in the second-level cache
constexpr std::int64_t tokens_per_quantise = 16;
constexpr int most_strip_rows = 64;
constexpr std::int64_t edge_tokens = 32;  // of an incomplete strip, which is computed beside y

void check(const matrix& w, std::size_t x, std::int64_t tokens, std::size_t y) {
  const std::uint64_t stride = row_bytes(w.id, w.cols);
  const auto wrong = [&](const char* what, std::string expected, std::string found) {
    throw error({.code = errc::bad_shape,
                 .message = std::string(what) + " of a product [" + std::to_string(tokens) + ", " +
                            std::to_string(w.cols) + "] x [" + std::to_string(w.rows) + ", " + std::to_string(w.cols) +
                            "]",
                 .expected = std::move(expected),
                 .found = std::move(found)});
  };
  constexpr std::uint64_t most = std::numeric_limits<std::int64_t>::max();
  const auto size = [&](std::int64_t a, std::uint64_t b, const char* what) {
    if (a < 0 || static_cast<std::uint64_t>(a) > most / b) wrong(what, "0 or more, within 63 bits", std::to_string(a));
    return static_cast<std::uint64_t>(a) * b;
  };
  const auto same = [&](const char* what, std::uint64_t expected, std::size_t found) {
    if (found != expected) wrong(what, std::to_string(expected), std::to_string(found));
  };
  same("bytes of w", size(w.rows, stride, "rows"), w.blocks.size());
  same("floats of x", size(tokens, static_cast<std::uint64_t>(w.cols), "tokens"), x);
  same("floats of y",
       size(tokens, static_cast<std::uint64_t>(std::max<std::int64_t>(w.rows, 1)), "tokens") * (w.rows > 0), y);
}

void for_each(executor* threads, std::int64_t count, const std::function<void(std::size_t)>& task) {
  if (threads && count > 1) return threads->run(static_cast<std::size_t>(count), task);
  for (std::int64_t i = 0; i < count; ++i) task(static_cast<std::size_t>(i));
}

// The quantised activations and the memory they point into.
struct quantized_activations {
  std::vector<std::int8_t> codes;
  std::vector<float> d, sum;
  std::vector<std::int32_t> offset;
  cpu::activations view;

  quantized_activations(std::int64_t tokens, std::int64_t cols, const cpu::panel_kind& kind, int planes) {
    const std::int64_t runs = cols / cpu::run;
    const int parts = kind.scale_halves ? 2 : 1;
    codes.resize(static_cast<std::size_t>(tokens * planes * cols));
    d.resize(static_cast<std::size_t>(tokens * runs));
    offset.resize(static_cast<std::size_t>(tokens * planes * runs * parts));
    sum.resize(static_cast<std::size_t>(tokens * runs * kind.minimums));
    view = {codes.data(), d.data(), offset.data(), sum.data(), cols, planes, parts, kind.minimums};
  }
};

class product {
 public:
  product(const matrix& w, const float* x, std::int64_t tokens, float* y, const matmul_options& options)
      : w_(w), x_(x), tokens_(tokens), y_(y), threads_(options.threads), kernels_(cpu::choose(options.isa).get()) {
    const auto it = std::find_if(kernels_.formats.begin(), kernels_.formats.end(),
                                 [&](const cpu::format_kernels& f) { return f.id == w.id; });
    format_ = &*it;
    planes_ = options.tier == tier::precise ? 2 : 1;
  }

  void run() {
    if (format_->float_strip) {
      return strips([this](const unsigned char* const* rows, std::int64_t first, std::int64_t last, float* y,
                           std::int64_t stride) { format_->float_strip(rows, w_.cols, x_, first, last, y, stride); });
    }
    quantized_activations a(tokens_, w_.cols, format_->kind, planes_);
    for_each(threads_, (tokens_ + tokens_per_quantise - 1) / tokens_per_quantise, [&](std::size_t i) {
      const auto first = static_cast<std::int64_t>(i) * tokens_per_quantise;
      kernels_.quantize(x_, w_.cols, first, std::min(first + tokens_per_quantise, tokens_), format_->kind, a.view);
    });
    strips([&](const unsigned char* const* rows, std::int64_t first, std::int64_t last, float* y, std::int64_t stride) {
      format_->strip[planes_ - 1](rows, w_.cols, a.view, first, last, y, stride);
    });
  }

 private:
  template <class Kernel>
  void strips(const Kernel& kernel) {
    const std::int64_t height = kernels_.strip_rows, count = (w_.rows + height - 1) / height;
    const std::int64_t token_blocks = (tokens_ + tokens_per_task - 1) / tokens_per_task;
    for_each(threads_, count * token_blocks, [&](std::size_t i) {
      const std::int64_t row = static_cast<std::int64_t>(i) % count * height;
      const std::int64_t first = static_cast<std::int64_t>(i) / count * tokens_per_task;
      const std::int64_t last = std::min(first + tokens_per_task, tokens_);
      std::array<const unsigned char*, most_strip_rows> rows;
      for (std::int64_t r = 0; r < height; ++r)
        rows[static_cast<std::size_t>(r)] = row_bytes_of(std::min(row + r, w_.rows - 1));
      if (row + height <= w_.rows) return kernel(rows.data(), first, last, y_ + first * w_.rows + row, w_.rows);
      edge(kernel, rows.data(), row, first, last);
    });
  }

  // The last strip has fewer rows than the kernel writes.
  template <class Kernel>
  void edge(const Kernel& kernel, const unsigned char* const* rows, std::int64_t row, std::int64_t first,
            std::int64_t last) {
    const std::int64_t height = kernels_.strip_rows;
    alignas(64) std::array<float, edge_tokens * most_strip_rows> beside;
    for (; first < last; first += edge_tokens) {
      const std::int64_t stop = std::min(first + edge_tokens, last);
      kernel(rows, first, stop, beside.data(), height);
      for (std::int64_t t = first; t < stop; ++t) {
        std::copy_n(beside.data() + (t - first) * height, w_.rows - row, y_ + t * w_.rows + row);
      }
    }
  }

  const unsigned char* row_bytes_of(std::int64_t row) const {
    return reinterpret_cast<const unsigned char*>(w_.blocks.data()) +
           static_cast<std::size_t>(row) * (w_.blocks.size() / static_cast<std::size_t>(w_.rows));
  }

  const matrix& w_;
  const float* const x_;
  const std::int64_t tokens_;
  float* const y_;
  executor* const threads_;
  const cpu::kernels& kernels_;
  const cpu::format_kernels* format_;
  int planes_;
};

}  // namespace

void matmul(const matrix& w, std::span<const float> x, std::int64_t tokens, std::span<float> y,
            const matmul_options& options) {
  check(w, x.size(), tokens, y.size());
  if (tokens == 0 || w.rows == 0) {
    cpu::choose(options.isa);
    return;
  }
  product(w, x.data(), tokens, y.data(), options).run();
}

}  // namespace bq
