// matmul: checks, the workspace, the activations' quantisation, and the division of the product into tasks: strips of
// rows, times blocks of tokens where there are many.
#include "blockquant/matmul.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "activations.hpp"
#include "blockquant/activations.hpp"
#include "blockquant/error.hpp"
#include "kernels.hpp"
#include "src/tasks.hpp"

namespace bq {

namespace {

constexpr std::int64_t tokens_per_task = 512;  // a strip's outputs for them stay in the second-level cache
constexpr std::int64_t rows_per_matvec = 64;
constexpr int most_strips = 4;  // they share the activations of a panel while these are in the second-level cache
constexpr int most_strip_rows = 64;

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

// Memory for one strip's outputs, as many times as threads work at once.
class output_buffers {
 public:
  using buffer = std::unique_ptr<float[]>;

  void reserve(std::int64_t floats) {
    if (floats <= floats_) return;
    idle_.clear();
    floats_ = floats;
  }
  buffer take() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) return std::make_unique_for_overwrite<float[]>(static_cast<std::size_t>(floats_));
    buffer b = std::move(idle_.back());
    idle_.pop_back();
    return b;
  }
  void give(buffer b) {
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(b));
  }

 private:
  std::int64_t floats_ = 0;
  std::mutex mutex_;
  std::vector<buffer> idle_;
};

}  // namespace

struct workspace::contents {
  activations x;
  output_buffers outputs;
};

workspace::workspace() noexcept = default;
workspace::~workspace() = default;
workspace::workspace(workspace&& other) noexcept = default;
workspace& workspace::operator=(workspace&& other) noexcept = default;

workspace::contents& workspace::get() {
  if (!contents_) contents_ = std::make_unique<contents>();
  return *contents_;
}

namespace {

class product {
 public:
  product(const matrix& w, std::int64_t tokens, float* y, const matmul_options& options, output_buffers& buffers)
      : w_(w),
        tokens_(tokens),
        y_(y),
        threads_(options.threads),
        kernels_(cpu::choose(options.isa).get()),
        buffers_(buffers),
        format_(*std::find_if(kernels_.formats.begin(), kernels_.formats.end(),
                              [&](const cpu::format_kernels& f) { return f.id == w.id; })) {
    strips_ = takes_floats() ? 1 : most_strips;
    buffers_.reserve(std::min(tokens, tokens_per_task) * strips_ * kernels_.strip_rows);
  }

  bool takes_floats() const { return format_.float_strip != nullptr; }

  void run(const float* x) {
    strips([&](const unsigned char* const* rows, std::int64_t first, std::int64_t last, float* y, std::int64_t stride) {
      format_.float_strip(rows, w_.cols, x, first, last, y, stride);
    });
  }
  void run(const cpu::activations& x) {
    if (tokens_ <= cpu::matvec_tokens[std::size(cpu::matvec_tokens) - 1]) return few(x);
    strips([&](const unsigned char* const* rows, std::int64_t first, std::int64_t last, float* y, std::int64_t stride) {
      format_.strip[x.planes - 1](rows, strips_, w_.cols, x, first, last, y, stride);
    });
  }

 private:
  // Rows in pieces that are long enough for prefetching to settle, and short enough to keep all threads busy to the
  // end.
  void few(const cpu::activations& x) {
    const auto& kernels = format_.matvec[x.planes - 1];
    const auto kernel =
        kernels[std::lower_bound(std::begin(cpu::matvec_tokens), std::end(cpu::matvec_tokens), tokens_) -
                std::begin(cpu::matvec_tokens)];
    const std::int64_t pieces = threads_ ? 8 * threads_->concurrency() : 1;
    const std::int64_t rows = (w_.rows + pieces - 1) / pieces,
                       height = std::max(rows_per_matvec, (rows + 15) / 16 * 16);
    for_each_task(threads_, (w_.rows + height - 1) / height, [&](std::size_t i) {
      const std::int64_t row = static_cast<std::int64_t>(i) * height;
      kernel(row_bytes_of(row), row_bytes_of(1) - row_bytes_of(0), std::min(height, w_.rows - row), x, 0, y_ + row,
             w_.rows);
    });
  }

  template <class Kernel>
  void strips(const Kernel& kernel) {
    const std::int64_t height = strips_ * kernels_.strip_rows, count = (w_.rows + height - 1) / height;
    const std::int64_t token_blocks = (tokens_ + tokens_per_task - 1) / tokens_per_task;
    for_each_task(threads_, count * token_blocks, [&](std::size_t i) {
      const std::int64_t row = static_cast<std::int64_t>(i) % count * height, rows = std::min(height, w_.rows - row);
      const std::int64_t first = static_cast<std::int64_t>(i) / count * tokens_per_task;
      const std::int64_t last = std::min(first + tokens_per_task, tokens_);
      std::array<const unsigned char*, most_strips * most_strip_rows>
          pointers;  // the last row stands in for those beyond it
      for (std::int64_t r = 0; r < height; ++r) {
        pointers[static_cast<std::size_t>(r)] = row_bytes_of(row + std::min(r, rows - 1));
      }
      // Beside y, where the strip's outputs for all tokens are dense: in y they may lie powers of two apart.
      auto beside = buffers_.take();
      kernel(pointers.data(), first, last, beside.get(), height);
      for (std::int64_t t = first; t < last; ++t) {
        std::copy_n(beside.get() + (t - first) * height, rows, y_ + t * w_.rows + row);
      }
      buffers_.give(std::move(beside));
    });
  }

  const unsigned char* row_bytes_of(std::int64_t row) const {
    return reinterpret_cast<const unsigned char*>(w_.blocks.data()) +
           static_cast<std::size_t>(row) * (w_.blocks.size() / static_cast<std::size_t>(w_.rows));
  }

  const matrix& w_;
  const std::int64_t tokens_;
  float* const y_;
  executor* const threads_;
  const cpu::kernels& kernels_;
  output_buffers& buffers_;
  const cpu::format_kernels& format_;
  int strips_;  // in a task
};

}  // namespace

void matmul(const matrix& w, std::span<const float> x, std::int64_t tokens, std::span<float> y,
            const matmul_options& options) {
  check(w, x.size(), tokens, y.size());
  if (tokens == 0 || w.rows == 0) {
    cpu::choose(options.isa);
    return;
  }
  workspace own;
  workspace::contents& memory = (options.memory ? *options.memory : own).get();
  product p(w, tokens, y.data(), options, memory.outputs);
  if (p.takes_floats()) return p.run(x.data());
  memory.x.assign(x, tokens, w.cols, options);
  p.run(memory.x.view());
}

void matmul(const matrix& w, const activations& x, std::span<float> y, const matmul_options& options) {
  if (x.cols() != w.cols) {
    throw error({.code = errc::bad_shape,
                 .message = "weights and activations have different columns",
                 .expected = std::to_string(w.cols),
                 .found = std::to_string(x.cols())});
  }
  if (x.tier() != options.tier) {
    throw error({.code = errc::invalid_argument,
                 .message = "the activations were prepared in another tier",
                 .subject = "tier",
                 .advice = "assign them with the options that they are multiplied with"});
  }
  check(w, x.x().size(), x.tokens(), y.size());
  if (x.tokens() == 0 || w.rows == 0) {
    cpu::choose(options.isa);
    return;
  }
  workspace own;
  product p(w, x.tokens(), y.data(), options, (options.memory ? *options.memory : own).get().outputs);
  p.takes_floats() ? p.run(x.x().data()) : p.run(x.view());
}

}  // namespace bq
