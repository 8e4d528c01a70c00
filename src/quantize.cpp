// The entry points quantize, dequantize and check_blocks: argument checks, the division of rows among threads, and the
// calls into the format table. This unit is built without FMA contraction.
#include "blockquant/quantize.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <limits>
#include <string>

#include "cpu/kernels.hpp"
#include "format_table.hpp"

namespace bq {

namespace {

// Weights per task: large enough to hide the cost of handing out a task, small enough to share out a matrix evenly, and
// to stay in the cache from one pass over them to the next.
constexpr std::int64_t weights_per_task = 1 << 16;

error shape_error(const type_info& t, const char* what, std::string expected, std::string found) {
  return error({.code = errc::bad_shape,
                .message = std::string(what) + " for " + std::string(t.name),
                .expected = std::move(expected),
                .found = std::move(found)});
}

// Checks a [rows, cols] matrix of `t` against the two spans; returns bytes per row.
std::uint64_t check_shape(const type_info& t, std::int64_t rows, std::int64_t cols, std::size_t floats,
                          std::size_t bytes) {
  const std::uint64_t stride = row_bytes(t.id, cols);
  const auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (rows < 0 ||
      static_cast<std::uint64_t>(rows) > most / std::max<std::uint64_t>(stride, static_cast<std::uint64_t>(cols))) {
    throw shape_error(t, "impossible number of rows", "0 or more, and a matrix that fits 63 bits",
                      std::to_string(rows));
  }
  const std::uint64_t weights = static_cast<std::uint64_t>(rows) * static_cast<std::uint64_t>(cols);
  if (floats != weights)
    throw shape_error(t, "wrong number of floats", std::to_string(weights), std::to_string(floats));
  if (bytes != static_cast<std::uint64_t>(rows) * stride) {
    throw shape_error(t, "wrong number of block bytes", std::to_string(static_cast<std::uint64_t>(rows) * stride),
                      std::to_string(bytes));
  }
  return stride;
}

bool finite(float x) noexcept { return (std::bit_cast<std::uint32_t>(x) & 0x7f800000u) != 0x7f800000u; }

void check_importance(std::span<const float> importance, std::int64_t cols) {
  if (importance.empty()) return;
  if (importance.size() != static_cast<std::uint64_t>(cols)) {
    throw error({.code = errc::bad_importance,
                 .message = "importance has the wrong length",
                 .expected = std::to_string(cols) + " values, one per column",
                 .found = std::to_string(importance.size())});
  }
  const auto bad = std::find_if(importance.begin(), importance.end(), [](float v) { return !finite(v) || v < 0; });
  if (bad != importance.end()) {
    throw error({.code = errc::bad_importance,
                 .message = "importance of column " + std::to_string(bad - importance.begin()) + " makes no sense",
                 .expected = "a finite number >= 0",
                 .found = std::to_string(*bad)});
  }
}

// As finite() of all, without branches, so that compilers make vectors of it.
bool all_finite(const float* x, std::int64_t n) noexcept {
  std::uint32_t bad = 0;
  for (std::int64_t i = 0; i < n; ++i) bad |= finite(x[i]) ? 0u : 1u;
  return bad == 0;
}

// Of the instruction set that $BQ_ISA names, else of the best one.
const cpu::codec& codec_of(type id) {
  const auto all = cpu::choose({}).codecs();
  return *std::find_if(all.begin(), all.end(), [&](const cpu::codec& c) { return c.id == id; });
}

// Calls body(first_row, last_row) over all rows, some at a time.
template <class Body>
void for_row_ranges(std::int64_t rows, std::int64_t cols, executor* threads, const Body& body) {
  const std::int64_t step = std::max<std::int64_t>(1, weights_per_task / cols);
  if (!threads) {
    for (std::int64_t first = 0; first < rows; first += step) body(first, std::min(first + step, rows));
    return;
  }
  const auto tasks = static_cast<std::size_t>((rows + step - 1) / step);
  threads->run(tasks, [&](std::size_t i) {
    const std::int64_t first = static_cast<std::int64_t>(i) * step;
    body(first, std::min(first + step, rows));
  });
}

// Keeps the smallest of the positions offered by several threads, so that the error named does not depend on timing.
class first_position {
 public:
  void offer(std::int64_t position) noexcept {
    std::int64_t seen = position_.load(std::memory_order_relaxed);
    while (position < seen && !position_.compare_exchange_weak(seen, position, std::memory_order_relaxed)) {
    }
  }
  bool found() const noexcept { return get() != none; }
  std::int64_t get() const noexcept { return position_.load(std::memory_order_relaxed); }

 private:
  static constexpr std::int64_t none = std::numeric_limits<std::int64_t>::max();
  std::atomic<std::int64_t> position_{none};
};

std::string at(std::int64_t position, std::int64_t cols) {
  return "row " + std::to_string(position / cols) + ", column " + std::to_string(position % cols);
}

}  // namespace

void quantize(type to, std::span<const float> weights, std::int64_t rows, std::int64_t cols, std::span<std::byte> out,
              const quantize_options& options) {
  const format_row& format = row_of(to);
  const type_info& t = format.info;
  const std::uint64_t stride = check_shape(t, rows, cols, weights.size(), out.size());
  check_importance(options.importance, cols);
  const cpu::codec& codec = codec_of(to);
  const float* importance = options.importance.empty() ? nullptr : options.importance.data();

  first_position bad_weight, bad_block;
  for_row_ranges(rows, cols, options.threads, [&](std::int64_t first, std::int64_t last) {
    const std::int64_t n = (last - first) * cols;
    const float* x = weights.data() + first * cols;
    if (!all_finite(x, n)) return bad_weight.offer(first * cols + (std::find_if_not(x, x + n, finite) - x));
    std::byte* blocks = out.data() + static_cast<std::uint64_t>(first) * stride;
    codec.quantize(x, last - first, cols, importance, blocks);
    const std::int64_t bad = format.first_not_finite(blocks, n / t.block_size);
    if (bad >= 0) bad_block.offer(first * cols + bad * t.block_size);
  });
  if (bad_weight.found()) {
    throw error({.code = errc::not_finite,
                 .message = "a weight is not finite at " + at(bad_weight.get(), cols),
                 .expected = "finite weights",
                 .found = std::to_string(weights[static_cast<std::size_t>(bad_weight.get())])});
  }
  if (bad_block.found()) {
    throw error({.code = errc::out_of_range,
                 .message = "weights are too large for " + std::string(t.name) + ": the scale of the block at " +
                            at(bad_block.get(), cols) + " overflows",
                 .advice = "keep this tensor as f32 or bf16"});
  }
}

void dequantize(type from, std::span<const std::byte> blocks, std::int64_t rows, std::int64_t cols,
                std::span<float> out, executor* threads) {
  const format_row& format = row_of(from);
  const std::uint64_t stride = check_shape(format.info, rows, cols, out.size(), blocks.size());
  const cpu::codec& codec = codec_of(from);
  for_row_ranges(rows, cols, threads, [&](std::int64_t first, std::int64_t last) {
    codec.decode(blocks.data() + static_cast<std::uint64_t>(first) * stride,
                 (last - first) * cols / format.info.block_size, out.data() + first * cols);
  });
}

std::int64_t check_blocks(type id, std::span<const std::byte> blocks) {
  const format_row& format = row_of(id);
  const std::size_t size = format.info.block_bytes;
  if (blocks.size() % size != 0) {
    throw shape_error(format.info, "not a whole number of blocks", "a multiple of " + std::to_string(size) + " bytes",
                      std::to_string(blocks.size()));
  }
  return format.first_not_finite(blocks.data(), static_cast<std::int64_t>(blocks.size() / size));
}

}  // namespace bq
