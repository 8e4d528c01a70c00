// Activations and the memory they are kept in: one allocation that only grows, divided into codes, scales and sums.
#include "blockquant/activations.hpp"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "activations.hpp"
#include "aligned_buffer.hpp"
#include "blockquant/error.hpp"
#include "kernels.hpp"
#include "recode.hpp"
#include "src/tasks.hpp"

namespace bq {

namespace {

constexpr std::int64_t tokens_per_task = 16;

void check(std::size_t floats, std::int64_t tokens, std::int64_t cols) {
  const auto wrong = [](const char* what, std::string expected, std::string found) {
    throw error({.code = errc::bad_shape,
                 .message = std::string("activations have a wrong number of ") + what,
                 .expected = std::move(expected),
                 .found = std::move(found)});
  };
  if (cols < 1) wrong("columns", "1 or more", std::to_string(cols));
  // Codes, scales and sums take less than 16 bytes for each column of a row that is filled up to whole panels.
  const std::int64_t most = std::numeric_limits<std::int64_t>::max() / 16;
  if (tokens < 0 || cols > most - cpu::panel_cols || tokens > most / (cols + cpu::panel_cols))
    wrong("tokens", "0 or more, within the address space", std::to_string(tokens));
  if (floats != static_cast<std::uint64_t>(tokens) * static_cast<std::uint64_t>(cols))
    wrong("floats", std::to_string(tokens * cols), std::to_string(floats));
}

}  // namespace

struct activations::contents {
  cpu::activations view{};
  bq::tier tier{};
  std::span<const float> x;
  cpu::aligned_buffer memory;
};

activations::activations() noexcept = default;
activations::~activations() = default;
activations::activations(activations&& other) noexcept = default;
activations& activations::operator=(activations&& other) noexcept = default;

void activations::assign(std::span<const float> x, std::int64_t tokens, std::int64_t cols,
                         const matmul_options& options) {
  assign_written(x, tokens, cols, nullptr, options);
}

void activations::assign_written(std::span<const float> x, std::int64_t tokens, std::int64_t cols, const writer& write,
                                 const matmul_options& options) {
  if (!contents_) contents_ = std::make_unique<contents>();
  contents& c = *contents_;
  c.view = {};
  c.x = {};
  check(x.size(), tokens, cols);
  const cpu::kernels& kernels = cpu::choose(options.isa).get();

  cpu::activations next{};
  next.cols = cols;
  next.tokens = tokens;
  next.planes = options.tier == tier::precise ? 2 : 1;
  next.group = options.tier == tier::fast ? cpu::wide_run : cpu::run;
  const bool coded = cols % cpu::run == 0;
  if (coded) next.place(c.memory.reserve(next.bytes()));
  const std::int64_t tasks = coded || write ? (tokens + tokens_per_task - 1) / tokens_per_task : 0;
  for_each_task(options.threads, tasks, [&](std::size_t i) {
    const auto first = static_cast<std::int64_t>(i) * tokens_per_task;
    const auto last = std::min(first + tokens_per_task, tokens);
    if (write) write(first, last);
    if (coded) kernels.quantize(x.data(), cols, first, last, next);
  });
  c.view = next;
  c.x = x;
  c.tier = options.tier;
}

namespace {
constexpr cpu::activations nothing{};
}

const cpu::activations& activations::view() const noexcept { return contents_ ? contents_->view : nothing; }
std::int64_t activations::tokens() const noexcept { return view().tokens; }
std::int64_t activations::cols() const noexcept { return view().cols; }
bq::tier activations::tier() const noexcept { return contents_ ? contents_->tier : bq::tier::exact; }
std::span<const float> activations::x() const noexcept { return contents_ ? contents_->x : std::span<const float>(); }

}  // namespace bq
