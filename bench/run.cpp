#include "run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <blockquant/error.hpp>
#include <iterator>
#include <map>

#include "measure.hpp"
#include "neighbour.hpp"
#include "verify.hpp"

namespace bq_bench {
namespace {

constexpr named_tier all_tiers[] = {
    {"exact", bq::tier::exact}, {"precise", bq::tier::precise}, {"fast", bq::tier::fast}};

void check_shapes(const request& r) {
  for (const auto cols : r.cols) {
    for (const auto* format : r.formats) {
      if (bq::can_quantize(format->id, cols)) continue;
      throw bq::error({.code = bq::errc::bad_shape,
                       .message = "rows do not divide into blocks",
                       .subject = std::string(format->name),
                       .expected = fmt::format("columns in multiples of {}", format->block_size),
                       .found = fmt::format("{}", cols),
                       .advice = "choose --cols and --format that go together"});
    }
  }
}

// The configurations of one operation, type and shape.
std::vector<configuration> variants(const request& r, const configuration& base, const operation& op) {
  std::vector<configuration> out;
  for (const int threads : r.threads) {
    configuration c = base;
    c.threads = threads;
    if (!op.is_product) {
      if (op.has_isas) c.isa = bq::chosen_isa();
      out.push_back(c);
      continue;
    }
    for (const auto isa : r.isas) {
      for (const auto tier : r.tiers) {
        for (const auto tokens : r.tokens) {
          c.isa = isa;
          c.tier = tier;
          c.tokens = tokens;
          out.push_back(c);
        }
      }
    }
  }
  return out;
}

std::string describe(const configuration& c, const std::string& peer) {
  return fmt::format("{} {} [{}, {}], {} tokens, {} threads{}{}", c.op, c.format->name, c.rows, c.cols, c.tokens,
                     c.threads, c.isa.empty() ? "" : fmt::format(", {}", c.isa),
                     peer.empty() ? "" : fmt::format(", by {}", peer));
}

std::vector<double> check(const configuration& c, const contest& event) {
  std::vector<double> errors;
  for (const contestant& who : event.contestants) {
    try {
      errors.push_back(who.check());
    } catch (const wrong_result& e) {
      throw wrong_result(fmt::format("wrong result: {}: {}", describe(c, who.peer), e.what()));
    }
    who.rest();
  }
  return errors;
}

}  // namespace

std::span<const named_tier> tiers() noexcept { return all_tiers; }

std::string_view name(bq::tier t) noexcept {
  return std::find_if(std::begin(all_tiers), std::end(all_tiers), [&](const named_tier& n) { return n.tier == t; })
      ->name;
}

void run(const request& r, const std::function<void(const result&)>& take) {
  check_shapes(r);
  patience limits = r.quick ? patience{.least = 3, .spread = 0.1, .seconds = 0.05} : patience{};
  if (r.neighbour && !r.quick) limits = {.least = 200, .seconds = 0};  // the system deals out time in long turns
  std::map<int, bq::thread_pool> pools;
  for (const int n : r.threads) pools.try_emplace(n, n);

  const auto run_one = [&](subject& work, const configuration& c) {
    const contest event = work.prepare(c, pools.at(c.threads));
    const auto errors = check(c, event);
    const auto timings = measure(event.contestants, limits);
    std::vector<timing> busy;
    if (r.neighbour) {
      const neighbour spinning;
      busy = measure(event.contestants, limits);
    }
    for (std::size_t i = 0; i < timings.size(); ++i) {
      const timing& t = timings[i];
      result out;
      out.setup = c;
      out.peer = event.contestants[i].peer;
      out.seconds = t.median;
      out.best = t.best;
      out.spread = t.spread;
      out.repetitions = t.repetitions;
      out.max_error = errors[i];
      out.gops = event.operations / t.median * 1e-9;
      out.gbps = event.bytes / t.median * 1e-9;
      if (!out.peer.empty()) out.ratio = t.median / timings.front().median;
      if (r.neighbour) out.busy = busy[i].median / t.median;
      take(out);
    }
  };

  for (const operation* op : r.ops) {
    for (const auto rows : r.rows) {
      for (const auto cols : r.cols) {
        for (const auto* format : r.formats) {
          const auto work = op->make(*format, rows, cols, r.cached);
          const configuration base{.op = op->name, .format = format, .rows = rows, .cols = cols, .cached = r.cached};
          for (const configuration& c : variants(r, base, *op)) run_one(*work, c);
        }
      }
    }
  }
}

}  // namespace bq_bench
