// The entry points quantize, dequantize and check_blocks: argument checks, the division of rows among threads, and the
// calls into the format table. This unit is built without FMA contraction.
#include "blockquant/quantize.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <limits>
#include <string>

#include "format_table.hpp"

namespace bq {

namespace {

// Weights per task: large enough to hide the cost of handing out a task, small enough to share out a matrix evenly.
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

// Calls body(first_row, last_row) over all rows.
template <class Body>
void for_row_ranges(std::int64_t rows, std::int64_t cols, executor* threads, const Body& body) {
  if (!threads) return body(std::int64_t{0}, rows);
  const std::int64_t step = std::max<std::int64_t>(1, weights_per_task / cols);
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
  const float* importance = options.importance.empty() ? nullptr : options.importance.data();

  first_position bad_weight, bad_block;
  for_row_ranges(rows, cols, options.threads, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t r = first; r < last; ++r) {
      const float* x = weights.data() + r * cols;
      const float* bad = std::find_if_not(x, x + cols, finite);
      if (bad != x + cols) return bad_weight.offer(r * cols + (bad - x));
      std::byte* row = out.data() + static_cast<std::uint64_t>(r) * stride;
      format.quantize_row(x, cols, row, importance);
      for (std::int64_t b = 0; b < cols; b += t.block_size, row += t.block_bytes) {
        if (!format.block_is_finite(row)) return bad_block.offer(r * cols + b);
      }
    }
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
  for_row_ranges(rows, cols, threads, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t r = first; r < last; ++r) {
      format.decode_row(blocks.data() + static_cast<std::uint64_t>(r) * stride, cols, out.data() + r * cols);
    }
  });
}

std::int64_t check_blocks(type id, std::span<const std::byte> blocks) {
  const format_row& format = row_of(id);
  const std::size_t size = format.info.block_bytes;
  if (blocks.size() % size != 0) {
    throw shape_error(format.info, "not a whole number of blocks", "a multiple of " + std::to_string(size) + " bytes",
                      std::to_string(blocks.size()));
  }
  for (std::size_t at = 0; at < blocks.size(); at += size) {
    if (!format.block_is_finite(blocks.data() + at)) return static_cast<std::int64_t>(at / size);
  }
  return -1;
}

}  // namespace bq
