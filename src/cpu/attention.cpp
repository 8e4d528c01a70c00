// The entry point attention: argument checks, and the division into tasks: some tokens of a sequence with all query
// heads of one key and value head.
#include <algorithm>
#include <limits>
#include <memory>
#include <mutex>
#include <string>

#include "blockquant/error.hpp"
#include "blockquant/ops.hpp"
#include "kernels.hpp"

namespace bq {

namespace {

// Of a task: the most share the decoding of keys and values, and stay in the second-level cache; with the fewest it
// counts little yet.
constexpr std::int64_t most_queries = 192, fewest_queries = 48;
constexpr std::int64_t tasks_per_thread = 8;  // so that all are busy to the end

error shape_error(const char* what, std::string expected, std::string found) {
  return error({.code = errc::bad_shape,
                .message = std::string(what) + " of attention",
                .expected = std::move(expected),
                .found = std::move(found)});
}

void check(const attention_options& o) {
  if (o.heads < 1 || o.kv_heads < 1 || o.heads % o.kv_heads != 0) {
    throw shape_error("heads", "a multiple of the key and value heads",
                      std::to_string(o.heads) + " and " + std::to_string(o.kv_heads));
  }
  if (o.head_dim < 1 || o.head_dim > cpu::most_head_dim) {
    throw shape_error("head_dim", "1 to " + std::to_string(cpu::most_head_dim), std::to_string(o.head_dim));
  }
  if (o.window < 0) throw shape_error("window", "0 or more", std::to_string(o.window));
}

// Keys or values of a sequence, for head 0; those of further heads follow.
cpu::attention_task::cache rows_of(const char* what, const matrix& m, const attention_options& o, std::int64_t needed,
                                   std::span<const cpu::codec> codecs) {
  const type_info& type = info(m.id);
  if (m.cols != o.kv_heads * o.head_dim || m.rows < needed) {
    throw shape_error(what, "[" + std::to_string(needed) + " or more, " + std::to_string(o.kv_heads * o.head_dim) + "]",
                      "[" + std::to_string(m.rows) + ", " + std::to_string(m.cols) + "]");
  }
  if (o.head_dim % type.block_size != 0) {
    throw shape_error("head_dim", "a multiple of the blocks of " + std::string(type.name), std::to_string(o.head_dim));
  }
  const std::uint64_t stride = row_bytes(m.id, m.cols);
  if (m.blocks.size() / stride < static_cast<std::uint64_t>(m.rows)) {
    throw shape_error(what, std::to_string(m.rows) + " rows of " + std::to_string(stride) + " bytes",
                      std::to_string(m.blocks.size()) + " bytes");
  }
  const auto codec = std::find_if(codecs.begin(), codecs.end(), [&](const cpu::codec& c) { return c.id == m.id; });
  const std::int64_t blocks = o.head_dim / type.block_size;
  return {reinterpret_cast<const unsigned char*>(m.blocks.data()), static_cast<std::int64_t>(stride), blocks,
          blocks * type.block_bytes, codec->decode};
}

// Working memory of tasks that need little: on the stack of the thread, whose caches it then stays in.
constexpr std::int64_t stack_floats = 8192;

// Working memory of the others, as much of it as tasks run at once.
class scratch_pool {
 public:
  using memory = std::unique_ptr<float[]>;
  explicit scratch_pool(std::int64_t floats) : floats_(static_cast<std::size_t>(floats)) {}
  memory take() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) return std::make_unique_for_overwrite<float[]>(floats_);
    memory m = std::move(idle_.back());
    idle_.pop_back();
    return m;
  }
  void give(memory m) {
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(m));
  }

 private:
  const std::size_t floats_;
  std::mutex mutex_;
  std::vector<memory> idle_;
};

}  // namespace

void attention(std::span<const float> q, std::span<const attention_sequence> sequences, std::span<float> out,
               const attention_options& o) {
  check(o);
  const cpu::isa& isa = cpu::choose(o.isa);
  const std::int64_t group = o.heads / o.kv_heads, stride = o.heads * o.head_dim;
  const std::int64_t wanted = o.threads ? tasks_per_thread * o.threads->concurrency() : 1;
  std::int64_t queries = most_queries;
  while (queries > fewest_queries && static_cast<std::int64_t>(q.size()) / o.head_dim < wanted * queries) queries /= 2;
  const std::int64_t step = std::max<std::int64_t>(1, queries / group);

  std::vector<cpu::attention_task> tasks;
  std::int64_t token = 0, most = 0;
  for (const attention_sequence& s : sequences) {
    if (s.tokens < 0 || s.position < 0 || s.tokens > static_cast<std::int64_t>(q.size()) ||
        s.position > std::numeric_limits<std::int64_t>::max() / 2) {
      throw shape_error("tokens and position", "0 or more",
                        std::to_string(s.tokens) + ", " + std::to_string(s.position));
    }
    const auto keys = rows_of("keys", s.keys, o, s.position + s.tokens, isa.codecs());
    const auto values = rows_of("values", s.values, o, s.position + s.tokens, isa.codecs());
    for (std::int64_t first = 0; first < s.tokens; first += step) {
      const std::int64_t n = std::min(step, s.tokens - first);
      most = std::max(most, n * group);
      for (std::int64_t head = 0; head < o.kv_heads; ++head) {
        const std::int64_t at = (token + first) * stride + head * group * o.head_dim;
        cpu::attention_task task{
            q.data() + at, out.data() + at, stride, n, group, o.head_dim, s.position + first, 0, o.scale, keys, values};
        task.window = o.window ? o.window : s.position + s.tokens;
        task.keys.rows += head * keys.bytes;
        task.values.rows += head * values.bytes;
        tasks.push_back(task);
      }
    }
    token += s.tokens;
  }
  const auto expected = static_cast<std::size_t>(token * stride);
  if (q.size() != expected || out.size() != expected) {
    throw shape_error("q and out", std::to_string(expected) + " values",
                      std::to_string(q.size()) + " and " + std::to_string(out.size()));
  }

  const cpu::operations& ops = isa.ops();
  const std::int64_t floats = ops.attention_scratch(most, o.head_dim);
  scratch_pool pool(floats);
  const auto run = [end = tasks.data() + tasks.size(), floats, attend = ops.attention, &pool](std::size_t i) {
    const cpu::attention_task& task = *(end - 1 - i);  // the last tokens see most: they begin
    if (floats <= stack_floats) {
      alignas(64) float memory[stack_floats];
      return attend(task, memory);
    }
    auto memory = pool.take();
    attend(task, memory.get());
    pool.give(std::move(memory));
  };
  if (o.threads && tasks.size() > 1) {
    o.threads->run(tasks.size(), run);
  } else {
    for (std::size_t i = 0; i < tasks.size(); ++i) run(i);
  }
}

}  // namespace bq
