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
#include "lines_to_write.hpp"
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
  cpu::activation_forms view{};
  std::int64_t tokens = 0, cols = 0;
  bq::tier tier{};
  std::span<const float> x;
  cpu::aligned_buffer memory;
};

activations::activations() noexcept = default;
activations::~activations() = default;
activations::activations(activations&& other) noexcept = default;
activations& activations::operator=(activations&& other) noexcept = default;

void activations::assign(std::span<const float> x, std::int64_t tokens, std::int64_t cols,
                         const matmul_options& options, std::span<const type> weights) {
  assign_written(x, tokens, cols, nullptr, options, weights);
}

void activations::assign_written(std::span<const float> x, std::int64_t tokens, std::int64_t cols, const writer& write,
                                 const matmul_options& options, std::span<const type> weights) {
  if (!contents_) contents_ = std::make_unique<contents>();
  contents& c = *contents_;
  c.view = {};
  c.tokens = c.cols = 0;
  c.x = {};
  check(x.size(), tokens, cols);
  const cpu::kernels& kernels = cpu::choose(options.isa).get();

  cpu::activation_forms next{};
  const auto need = [&](const type_info& t) {
    const activation_scaling scales = cpu::scaling_in(options.tier, t.scaling);
    if (scales == activation_scaling::none || cols % t.block_size != 0) return;
    next.of(scales) = {
        .cols = cols, .tokens = tokens, .planes = options.tier == tier::precise ? 2 : 1, .scales = scales};
  };
  for (const type id : weights) need(info(id));
  if (weights.empty()) std::ranges::for_each(types(), need);
  std::size_t bytes = 0;
  for (const cpu::activations& form : next.forms) bytes += form.bytes();
  std::byte* memory = c.memory.reserve(bytes);
  cpu::ask_to_write(memory, bytes);
  for (cpu::activations& form : next.forms) {
    form.place(memory);
    memory += form.bytes();
  }

  const std::int64_t tasks = bytes > 0 || write ? (tokens + tokens_per_task - 1) / tokens_per_task : 0;
  for_each_task(options.threads, tasks, [&](std::size_t i) {
    const auto first = static_cast<std::int64_t>(i) * tokens_per_task;
    const auto last = std::min(first + tokens_per_task, tokens);
    if (write) write(first, last);
    for (const cpu::activations& form : next.forms) {
      if (form.tokens > 0) kernels.quantize(x.data(), cols, first, last, form);
    }
  });
  c.view = next;
  c.tokens = tokens;
  c.cols = cols;
  c.x = x;
  c.tier = options.tier;
}

namespace {
constexpr cpu::activation_forms nothing{};
}

const cpu::activation_forms& activations::view() const noexcept { return contents_ ? contents_->view : nothing; }
std::int64_t activations::tokens() const noexcept { return contents_ ? contents_->tokens : 0; }
std::int64_t activations::cols() const noexcept { return contents_ ? contents_->cols : 0; }
bq::tier activations::tier() const noexcept { return contents_ ? contents_->tier : bq::tier::exact; }
std::span<const float> activations::x() const noexcept { return contents_ ? contents_->x : std::span<const float>(); }

}  // namespace bq
