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
#include "aligned_buffer.hpp"
#include "blockquant/activations.hpp"
#include "blockquant/error.hpp"
#include "blockquant/interleave.hpp"
#include "kernels.hpp"
#include "lines_to_write.hpp"
#include "row_layout.hpp"
#include "src/tasks.hpp"

namespace bq {

namespace {

// Of a task: the outputs for the most stay in the second-level cache, with the fewest the weights' unpacking still
// counts little. Several strips share the activations' way to that cache.
constexpr std::int64_t most_tokens = 512, fewest_tokens = 128, most_strips = 4;
constexpr std::int64_t rows_per_matvec = 32;
constexpr std::int64_t tokens_per_preparation = 64;
constexpr int most_strip_rows = 64;

void check(const matrix& w, std::size_t x, std::int64_t tokens, std::size_t y, const matmul_options& options) {
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
  const std::uint64_t bytes = size(w.rows, stride, "rows");
  if (w.interleaved == 0) {
    same("bytes of w", bytes, w.blocks.size());
  } else {
    const int lanes = cpu::choose(options.isa).get().lanes;
    if (w.interleaved != lanes || !info(w.id).quantized) {
      throw error({.code = errc::invalid_argument,
                   .message = "the weights were interleaved for another instruction set",
                   .subject = "interleaved",
                   .expected = std::to_string(lanes) + " rows",
                   .found = std::to_string(w.interleaved)});
    }
    same("bytes of w", interleaved_bytes(w, options), w.blocks.size());
  }
  same("floats of x", size(tokens, static_cast<std::uint64_t>(w.cols), "tokens"), x);
  same("floats of y",
       size(tokens, static_cast<std::uint64_t>(std::max<std::int64_t>(w.rows, 1)), "tokens") * (w.rows > 0), y);
}

// Memory for what a strip computes on the way, as many times as threads work at once.
class strip_buffers {
 public:
  cpu::aligned_buffer take() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) return {};
    cpu::aligned_buffer b = std::move(idle_.back());
    idle_.pop_back();
    return b;
  }
  void give(cpu::aligned_buffer b) {
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(b));
  }

 private:
  std::mutex mutex_;
  std::vector<cpu::aligned_buffer> idle_;
};

// What all products of a call have in common: the activations as coded and as float formats take them.
struct operand {
  bq::tier tier;
  const cpu::activation_forms& coded;
  const float* floats;
  std::int64_t tokens;
};

// The row of a format; null where there is none.
template <class Kernels>
const Kernels* row_of(type id, std::span<const Kernels> formats) {
  const auto row = std::find_if(formats.begin(), formats.end(), [&](const Kernels& f) { return f.id == id; });
  return row == formats.end() ? nullptr : &*row;
}

// What a task takes: so many rows where there are few tokens, else so many strips and tokens.
struct task_size {
  std::int64_t rows, strips, tokens;

  // Small enough that there are `pieces` tasks for so many rows in all, if that does not make them too small.
  task_size(std::int64_t all_rows, std::int64_t all_tokens, std::int64_t strip_rows, std::int64_t pieces)
      : rows((all_rows - 1) / (pieces * rows_per_matvec) * rows_per_matvec + rows_per_matvec), tokens(most_tokens) {
    const std::int64_t all_strips = (all_rows + strip_rows - 1) / strip_rows;
    const auto tasks = [&] { return all_strips * ((all_tokens + tokens - 1) / tokens); };
    while (tokens > fewest_tokens && tasks() < pieces) tokens /= 2;
    strips = std::clamp<std::int64_t>(tasks() / pieces, 1, most_strips);
  }
};

// One product, as tasks that may run in any order. It holds what they need to begin, and nothing that another thread
// would have to look for elsewhere.
class product {
 public:
  product(const matrix& w, const operand& x, float* y, const task_size& size, const cpu::isa& isa,
          strip_buffers& buffers)
      : w_(w),
        floats_(row_of(w.id, isa.floats().formats)),
        x_(x.floats),
        x_tokens_(x.tokens),
        y_(y),
        rows_(w),
        buffers_(&buffers) {
    if (!floats_) {
      coded_ = &row_of(w.id, isa.get().formats)->of(x.tier);
      rounded_ = x.coded.of(coded_->scales);
    }
    constexpr const auto& few = cpu::matvec_tokens;
    const auto which = std::lower_bound(std::begin(few), std::end(few), x.tokens) - std::begin(few);
    if (which < std::ssize(few) && (floats_ || coded_->matvec[static_cast<std::size_t>(which)])) {
      few_ = static_cast<int>(which);
      height_ = size.rows;
    } else {
      height_ = floats_ ? isa.floats().strip_rows : isa.get().strip_rows * size.strips;
      const std::int64_t panel = floats_ ? isa.floats().panel_cols : 0;
      memory_ = static_cast<std::size_t>((panel + std::min(x.tokens, size.tokens)) * height_) * sizeof(float);
    }
    tokens_ = size.tokens;
    pieces_ = (w.rows + height_ - 1) / height_;
    tasks_ = few_ >= 0 ? pieces_ : pieces_ * ((x.tokens + tokens_ - 1) / tokens_);
  }

  // The activations as coded formats take them.
  const cpu::activations& rounded() const { return rounded_; }
  // What has to be prepared of them; null for float formats.
  const cpu::preparation* preparation() const { return !coded_ ? nullptr : few_ >= 0 ? &coded_->few : &coded_->many; }
  void take(const std::byte* prepared) { prepared_ = prepared; }

  std::int64_t tasks() const { return tasks_; }

  void run(std::int64_t task) const {
    const std::int64_t row = task % pieces_ * height_, rows = std::min(height_, w_.rows - row);
    if (few_ >= 0) return run_few(row, rows);
    const std::int64_t first = task / pieces_ * tokens_, last = std::min(first + tokens_, x_tokens_);
    // The last row stands in for those beyond it.
    std::array<const unsigned char*, most_strips * most_strip_rows> pointers;
    for (std::int64_t r = 0; r < height_; ++r) {
      pointers[static_cast<std::size_t>(r)] = rows_.of(row + std::min(r, rows - 1));
    }
    float* const y = y_ + first * w_.rows + row;
    const auto count = static_cast<int>(rows);
    auto buffer = buffers_->take();
    auto* const memory = reinterpret_cast<float*>(buffer.reserve(memory_));
    if (floats_) {
      floats_->strip(pointers.data(), count, w_.cols, x_, first, last, memory, y, w_.rows);
    } else {
      coded_->strip(pointers.data(), w_.interleaved != 0, count, w_.cols, rounded_, prepared_, first, last, memory, y,
                    w_.rows);
    }
    buffers_->give(std::move(buffer));
  }

 private:
  void run_few(std::int64_t row, std::int64_t rows) const {
    const auto which = static_cast<std::size_t>(few_);
    for (std::int64_t t = 0; t < x_tokens_; ++t) {
      cpu::ask_to_write(y_ + t * w_.rows + row, static_cast<std::size_t>(rows) * sizeof(float));
    }
    if (floats_) {
      floats_->matvec[which](rows_.of(row), rows_.bytes, rows, x_, w_.cols, x_tokens_, y_ + row, w_.rows);
    } else {
      coded_->matvec[which](rows_.of(row), w_.interleaved != 0, rows_.bytes, rows, rounded_, prepared_, y_ + row,
                            w_.rows);
    }
  }

  matrix w_;
  const cpu::float_kernels* floats_;           // null for coded formats
  const cpu::coded_kernels* coded_ = nullptr;  // null for float formats
  cpu::activations rounded_;                   // none for float formats
  const float* x_;
  std::int64_t x_tokens_;
  float* y_;
  cpu::row_layout rows_;
  strip_buffers* buffers_;
  int few_ = -1;  // which of the kernels for few tokens; none for many
  const std::byte* prepared_ = nullptr;
  std::int64_t height_, pieces_;  // rows of a task, and how many it takes
  std::int64_t tokens_, tasks_;   // of a task of many; of the product
  std::size_t memory_ = 0;        // bytes that a task of many tokens takes
};

}  // namespace

struct workspace::contents {
  activations own;
  cpu::aligned_buffer prepared;
  strip_buffers sums;
  std::vector<product> products;

  void run(std::span<const projection> all, const operand& x, const matmul_options& options) {
    const cpu::isa& isa = cpu::choose(options.isa);
    std::int64_t rows = 0, tasks = 0;
    for (const projection& p : all) rows += p.w.rows;
    // Long enough for prefetching to settle, and short enough to keep all threads busy to the end.
    const std::int64_t pieces = options.threads ? 8 * options.threads->concurrency() : 1;
    const task_size size(rows, x.tokens, isa.get().strip_rows, pieces);
    products.clear();
    for (const projection& p : all) {
      if (x.tokens == 0 || p.w.rows == 0) continue;
      tasks += products.emplace_back(p.w, x, p.y.data(), size, isa, sums).tasks();
    }
    prepare(x, options.threads);
    for_each_task(options.threads, tasks, [first = products.data()](std::size_t i) {
      auto task = static_cast<std::int64_t>(i);
      const product* p = first;
      for (; task >= p->tasks(); ++p) task -= p->tasks();
      p->run(task);
    });
  }

 private:
  // Once for all products that need the same.
  void prepare(const operand& x, executor* threads) {
    const auto needs = [&](const auto& visit) {  // visit(preparation, what of, bytes before it)
      std::size_t at = 0;
      for (auto p = products.begin(); p != products.end(); ++p) {
        const cpu::preparation* how = p->preparation();
        const auto same = [&](const product& o) { return o.preparation() && o.preparation()->run == how->run; };
        if (!how || std::any_of(products.begin(), p, same)) continue;
        visit(*how, p->rounded(), at);
        at += how->bytes * static_cast<std::size_t>(p->rounded().panels() * x.tokens);
      }
      return at;
    };
    const std::size_t bytes = needs([](const auto&...) {});
    std::byte* const memory = prepared.reserve(bytes);
    cpu::ask_to_write(memory, bytes);
    needs([&](const cpu::preparation& how, const cpu::activations& rounded, std::size_t at) {
      for_each_task(threads, (x.tokens + tokens_per_preparation - 1) / tokens_per_preparation, [&](std::size_t i) {
        const std::int64_t first = static_cast<std::int64_t>(i) * tokens_per_preparation;
        how.run(rounded, first, std::min(first + tokens_per_preparation, x.tokens), memory + at);
      });
      for (product& p : products) {
        if (p.preparation() && p.preparation()->run == how.run) p.take(memory + at);
      }
    });
  }
};

workspace::workspace() noexcept = default;
workspace::~workspace() = default;
workspace::workspace(workspace&& other) noexcept = default;
workspace& workspace::operator=(workspace&& other) noexcept = default;

workspace::contents& workspace::get() {
  if (!contents_) contents_ = std::make_unique<contents>();
  return *contents_;
}

void matmul(const matrix& w, std::span<const float> x, std::int64_t tokens, std::span<float> y,
            const matmul_options& options) {
  check(w, x.size(), tokens, y.size(), options);
  workspace own;
  workspace::contents& memory = (options.memory ? *options.memory : own).get();
  if (!row_of(w.id, cpu::choose(options.isa).floats().formats))
    memory.own.assign(x, tokens, w.cols, options, {&w.id, 1});
  const projection one{w, y};
  memory.run({&one, 1}, {options.tier, memory.own.view(), x.data(), tokens}, options);
}

void matmul(std::span<const projection> products, const activations& x, const matmul_options& options) {
  if (x.tier() != options.tier) {
    throw error({.code = errc::invalid_argument,
                 .message = "the activations were prepared in another tier",
                 .subject = "tier",
                 .advice = "assign them with the options that they are multiplied with"});
  }
  for (const projection& p : products) {
    if (x.cols() != p.w.cols) {
      throw error({.code = errc::bad_shape,
                   .message = "weights and activations have different columns",
                   .expected = std::to_string(p.w.cols),
                   .found = std::to_string(x.cols())});
    }
    check(p.w, x.x().size(), x.tokens(), p.y.size(), options);
    const activation_scaling scales = cpu::scaling_in(options.tier, info(p.w.id).scaling);
    if (scales != activation_scaling::none && x.view().of(scales).tokens != x.tokens()) {
      throw error({.code = errc::invalid_argument,
                   .message = "the activations were prepared for other types of weights",
                   .subject = "weights",
                   .found = std::string(info(p.w.id).name)});
    }
  }
  workspace own;
  (options.memory ? *options.memory : own).get().run(products, {x.tier(), x.view(), x.x().data(), x.tokens()}, options);
}

void matmul(const matrix& w, const activations& x, std::span<float> y, const matmul_options& options) {
  const projection one{w, y};
  matmul({&one, 1}, x, options);
}

}  // namespace bq
