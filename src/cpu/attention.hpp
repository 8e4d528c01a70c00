// Attention over an instruction set's vectors V, with the softmax computed while keys go by (Milakov and Gimelshein,
// Online normalizer calculation for softmax, 2018). Keys are met in blocks of 64 positions, counted from position 0, so
// that what happens to a query depends on its own position alone:
//
//   s(k) = sum of (scale * q[d]) * key[k][d], by FMA in the order of d
//   m' = max(m, all s of the block); p(k) = exp(s(k) - m'); a = exp(m - m')
//   l = l * a + p, key k in lane k mod 16; o = o * a, then o = fma(p(k), value[k], o) in the order of k
//   out = o / sum(l)
//
// Keys that a query does not see have s = -infinity, and take no part in o, whatever their values are.
#pragma once
#include <algorithm>
#include <type_traits>

#include "elementwise.hpp"
#include "token_codes.hpp"

namespace bq::cpu {

template <class V>
class attention_kernel {
  using reals = typename V::reals;
  using w = wide<V>;

 public:
  static constexpr int block = 64;

  static std::int64_t scratch(std::int64_t queries, std::int64_t head_dim) noexcept {
    const std::int64_t dims = padded(head_dim);
    return (keys_at_once(queries) + w::size) * dims + queries * (2 * dims + block) +
           up_to_lanes(queries) * (w::size + 2);
  }

  attention_kernel(const attention_task& task, float* memory) noexcept
      : t_(task), dims_(padded(task.head_dim)), queries_(task.tokens * task.group), step_(keys_at_once(queries_)) {
    const auto take = [&](std::int64_t floats) {
      float* p = memory;
      memory += floats;
      return p;
    };
    decoded_ = take(step_ * dims_);
    rows_ = take(w::size * dims_);
    q_ = take(queries_ * dims_);
    o_ = take(queries_ * dims_);
    s_ = take(queries_ * block);
    l_ = take(up_to_lanes(queries_) * w::size);
    m_ = take(up_to_lanes(queries_));
    a_ = take(up_to_lanes(queries_));
  }

  void run() noexcept {
    const std::int64_t first = begin_of(0), last = t_.position + t_.tokens;
    for (std::int64_t k = first; k < std::min(first + block, last); ++k) prefetch(t_.keys, k);
    for (std::int64_t k = first; k < std::min(first + block, last); ++k) prefetch(t_.values, k);
    load_queries();
    for (at_ = first / block * block; at_ < last; at_ += block) {
      const range here{std::max(at_, first) - at_, std::min(at_ + block, last) - at_};
      whole_ = begin_of(t_.tokens - 1) <= at_ && at_ + block <= t_.position + 1;
      for_steps(here, [&](range step) {
        load_keys(step);
        for_tiles<tile_queries>(0, [&](auto count, std::int64_t i) { score<count()>(i, step); });
      });
      for (std::int64_t i = 0; i < queries_; i += V::lanes) whole_ ? weigh<true>(i) : weigh<false>(i);
      for_steps(here, [&](range step) {
        load_values(step);
        for_tiles<tile_queries>(0, [&](auto count, std::int64_t i) { add_values<count()>(i, step); });
      });
    }
    store_outputs();
  }

 private:
  static constexpr int tile_queries = 6, tile_vectors = V::accumulators < 16 ? 2 : 4;
  static constexpr float lowest = -0x1.fffffep127f;
  static constexpr std::int64_t few_queries = 16, few_keys = 32;
  static_assert(block % few_keys == 0 && few_keys % (tile_vectors / 2 * V::lanes) == 0);

  // Keys are decoded so many at a time: for few queries they stay in the first-level cache.
  static constexpr std::int64_t keys_at_once(std::int64_t queries) noexcept {
    return queries < few_queries ? few_keys : block;
  }

  struct range {
    std::int64_t from, to;
    range within(range o) const noexcept { return {std::max(from, o.from), std::min(to, o.to)}; }
  };

  // f(step) for these keys of the block, some at a time.
  template <class F>
  void for_steps(range keys, const F& f) const noexcept {
    for (std::int64_t k = keys.from / step_ * step_; k < keys.to; k += step_) f(keys.within({k, k + step_}));
  }

  BQ_HD static void clear(float* p, std::int64_t n) noexcept { memset(p, 0, static_cast<std::size_t>(n) * sizeof *p); }
  BQ_HD static void fill(float* p, range which, float value) noexcept {
    for (std::int64_t i = which.from; i < which.to; ++i) p[i] = value;
  }
  static std::int64_t up_to_lanes(std::int64_t n) noexcept { return (n + V::lanes - 1) / V::lanes * V::lanes; }
  static std::int64_t padded(std::int64_t head_dim) noexcept { return (head_dim + w::size - 1) / w::size * w::size; }
  std::int64_t begin_of(std::int64_t token) const noexcept {
    return std::max<std::int64_t>(0, t_.position + token + 1 - t_.window);
  }
  // The keys of the block that a query sees: none where from >= to.
  range seen_by(std::int64_t query) const noexcept {
    if (whole_) return {0, block};
    const std::int64_t token = query / t_.group;
    return {std::max<std::int64_t>(0, begin_of(token) - at_),
            std::min<std::int64_t>(block, t_.position + token + 1 - at_)};
  }

  // f(count, first) for all queries from `first` on, Count at a time and then the rest; count is a type.
  template <int Count, class F>
  void for_tiles(std::int64_t first, const F& f) const noexcept {
    for (; first + Count <= queries_; first += Count) f(std::integral_constant<int, Count>(), first);
    if constexpr (Count > 1) for_tiles<Count - 1>(first, f);
  }

  void load_queries() noexcept {
    const w scale(t_.scale);
    for (std::int64_t i = 0; i < queries_; ++i) {
      const float* from = t_.q + i / t_.group * t_.stride + i % t_.group * t_.head_dim;
      for (std::int64_t d = 0; d < t_.head_dim; d += w::size) {
        (w::load(from + d, t_.head_dim - d) * scale).store(q_ + i * dims_ + d);
      }
    }
    fill(m_, {0, up_to_lanes(queries_)}, lowest);
    clear(l_, up_to_lanes(queries_) * w::size);
    clear(o_, queries_ * dims_);
  }

  // Asks for what a key or a value of this position is made of, a block ahead: from the second-level cache on, which
  // waits for more lines at a time than the first.
  BQ_HD static void prefetch(const attention_task::cache& c, std::int64_t position) noexcept {
    const unsigned char* row = c.rows + position * c.stride;
    for (std::int64_t i = 0; i < c.bytes; i += 64) __builtin_prefetch(row + i, 0, 2);
  }

  // These keys of a step, turned so that lanes are keys: decoded_[key / V::lanes][d][key % V::lanes].
  void load_keys(range here) noexcept {
    const std::int64_t last = t_.position + t_.tokens;
    const unsigned char* pointers[V::lanes];
    for (int lane = 0; lane < V::lanes; ++lane) {
      pointers[lane] = reinterpret_cast<const unsigned char*>(rows_ + lane * dims_);
    }
    for (std::int64_t key = here.from / V::lanes * V::lanes; key < here.to; key += V::lanes) {
      for (std::int64_t k = std::max(key, here.from); k < std::min(key + V::lanes, here.to); ++k) {
        if (at_ + k + block < last) prefetch(t_.values, at_ + k + block);
        t_.keys.decode(t_.keys.rows + (at_ + k) * t_.keys.stride, t_.keys.blocks, rows_ + (k - key) * dims_);
      }
      auto* const turned = reinterpret_cast<unsigned char*>(turned_keys(key));
      for (std::int64_t d = 0; d < dims_; d += 4) V::interleave16(pointers, 4 * d, turned + 4 * d * V::lanes);
    }
  }

  float* turned_keys(std::int64_t key) const noexcept { return decoded_ + key % step_ * dims_; }
  float* values_of(std::int64_t key) const noexcept { return decoded_ + key % step_ * dims_; }

  void load_values(range here) noexcept {
    const std::int64_t last = t_.position + t_.tokens;
    for (std::int64_t k = here.from; k < here.to; ++k) {
      if (at_ + k + block < last) prefetch(t_.keys, at_ + k + block);
      t_.values.decode(t_.values.rows + (at_ + k) * t_.values.stride, t_.values.blocks, values_of(k));
    }
  }

  template <int Queries, int Vectors>
  BQ_HD void score_tile(std::int64_t query, std::int64_t key) noexcept {
    reals sum[Queries][Vectors];
#pragma GCC unroll 16
    for (int i = 0; i < Queries; ++i) {
#pragma GCC unroll 16
      for (int v = 0; v < Vectors; ++v) sum[i][v] = reals(0.0f);
    }
    const float *q = q_ + query * dims_, *keys = turned_keys(key);
    for (std::int64_t d = 0; d < t_.head_dim; ++d) {
      reals k[Vectors];
#pragma GCC unroll 16
      for (int v = 0; v < Vectors; ++v) k[v] = V::load_reals(keys + (v * dims_ + d) * V::lanes);
#pragma GCC unroll 16
      for (int i = 0; i < Queries; ++i) {
        const reals one(q[i * dims_ + d]);
#pragma GCC unroll 16
        for (int v = 0; v < Vectors; ++v) sum[i][v] = V::fma(one, k[v], sum[i][v]);
      }
    }
#pragma GCC unroll 16
    for (int i = 0; i < Queries; ++i) {
#pragma GCC unroll 16
      for (int v = 0; v < Vectors; ++v) V::store(s_ + (query + i) * block + key + v * V::lanes, sum[i][v]);
    }
  }

  // s of the keys of a step that any of these queries sees, whole vectors of them.
  template <int Queries>
  void score(std::int64_t query, range step) noexcept {
    constexpr int most = tile_vectors * V::lanes, half = most / 2;
    const auto [from, to] = step.within({seen_by(query).from, seen_by(query + Queries - 1).to});
    for (std::int64_t key = from / half * half; key < to;) {
      if (to - key > half && key % step_ + most <= step_) {
        score_tile<Queries, tile_vectors>(query, key);
        key += most;
      } else {
        score_tile<Queries, tile_vectors / 2>(query, key);
        key += half;
      }
    }
  }

  // Scores of V::lanes queries become weights p; m, l and a follow. Whole: they see all keys.
  template <bool Whole>
  void weigh(std::int64_t query) noexcept {
    const std::int64_t count = std::min<std::int64_t>(V::lanes, queries_ - query);
    float* const s = s_ + query * block;
    range seen[V::lanes];  // whole w's
    w tops[V::lanes];
    for (int i = 0; i < V::lanes; ++i) {
      tops[i] = w(lowest);
      seen[i] = {0, 0};
      if (i >= count) continue;
      seen[i] = Whole ? range{0, block} : leave_seen(query + i);
      for_parts(seen[i], [&](std::int64_t k) {
        const w other = w::load(s + i * block + k);
        tops[i] = w::each([&](int part) { return larger(tops[i].part[part], other.part[part]); });
      });
    }
    const reals before = V::load_reals(m_ + query), now = larger(before, w::across(tops, larger));
    V::store(m_ + query, now);
    V::store(a_ + query, exponential_of_negative<V>(before - now));
    const float *m = m_ + query, *a = a_ + query;
    for (std::int64_t i = 0; i < count; ++i) {
      const reals top(m[i]), shrink(a[i]);
      float* const sums = l_ + (query + i) * w::size;
      w l = w::load(sums);
      l = w::each([&](int part) { return l.part[part] * shrink; });
      for_parts(Whole ? range{0, block} : seen[i], [&](std::int64_t k) {
        const w score = w::load(s + i * block + k);
        const w p = w::each([&](int part) { return exponential_of_negative<V>(score.part[part] - top); });
        p.store(s + i * block + k);
        l = l + p;
      });
      l.store(sums);
    }
  }
  // The w's that a query sees keys in; of those that it does not see, scores become -infinity.
  range leave_seen(std::int64_t query) noexcept {
    const range keys = seen_by(query);
    if (keys.from >= keys.to) return {0, 0};
    const range seen{keys.from / w::size * w::size, (keys.to + w::size - 1) / w::size * w::size};
    float* const s = s_ + query * block;
    fill(s, {seen.from, keys.from}, -HUGE_VALF);
    fill(s, {keys.to, seen.to}, -HUGE_VALF);
    return seen;
  }
  template <class F>
  BQ_HD static void for_parts(range keys, const F& f) {
#pragma GCC unroll 4
    for (std::int64_t k = keys.from; k < keys.to; k += w::size) f(k);
  }
  // Not NaN, where a is not.
  BQ_HD static reals larger(reals a, reals b) { return V::select(a < b, b, a); }

  template <int Queries, int Vectors>
  BQ_HD void value_tile(std::int64_t query, std::int64_t dim, range seen) noexcept {
    reals sum[Queries][Vectors];
#pragma GCC unroll 16
    for (int i = 0; i < Queries; ++i) {
      const reals a(a_[query + i]);
#pragma GCC unroll 16
      for (int v = 0; v < Vectors; ++v) {
        sum[i][v] = V::load_reals(o_ + (query + i) * dims_ + dim + v * V::lanes) * a;
      }
    }
    const float *p = s_ + query * block, *values = values_of(0) + dim;
    for (std::int64_t k = seen.from; k < seen.to; ++k) {
      reals value[Vectors];
#pragma GCC unroll 16
      for (int v = 0; v < Vectors; ++v) value[v] = V::load_reals(values + (k % step_) * dims_ + v * V::lanes);
#pragma GCC unroll 16
      for (int i = 0; i < Queries; ++i) {
        const reals one(p[i * block + k]);
#pragma GCC unroll 16
        for (int v = 0; v < Vectors; ++v) sum[i][v] = V::fma(one, value[v], sum[i][v]);
      }
    }
#pragma GCC unroll 16
    for (int i = 0; i < Queries; ++i) {
#pragma GCC unroll 16
      for (int v = 0; v < Vectors; ++v) V::store(o_ + (query + i) * dims_ + dim + v * V::lanes, sum[i][v]);
    }
  }

  // o of some queries, over these keys of the block; it has been scaled then.
  template <int Queries>
  void add_seen(std::int64_t query, range keys) noexcept {
    if (keys.from >= keys.to) return;
    std::int64_t dim = 0;
    for (; dim + tile_vectors * V::lanes <= dims_; dim += tile_vectors * V::lanes) {
      value_tile<Queries, tile_vectors>(query, dim, keys);
    }
    for (; dim < dims_; dim += V::lanes) value_tile<Queries, 1>(query, dim, keys);
    for (int i = 0; i < Queries; ++i) a_[query + i] = 1.0f;
  }

  // Keys of a step that all of these queries see are taken together, those before and behind query by query.
  template <int Queries>
  void add_values(std::int64_t query, range step) noexcept {
    if (whole_) return add_seen<Queries>(query, step);
    range all = step.within({seen_by(query + Queries - 1).from, seen_by(query).to});
    if (all.from >= all.to) all = {step.to, step.to};
    for (int i = 0; i < Queries; ++i) {
      const range seen = step.within(seen_by(query + i));
      add_seen<1>(query + i, {seen.from, std::min(all.from, seen.to)});
    }
    add_seen<Queries>(query, all);
    for (int i = 0; i < Queries; ++i) add_seen<1>(query + i, step.within({all.to, seen_by(query + i).to}));
  }

  void store_outputs() noexcept {
    w sums[V::lanes];
    alignas(64) float sum[V::lanes];
    for (std::int64_t i = 0; i < queries_; ++i) {
      const std::int64_t lane = i % V::lanes;
      if (lane == 0) {
        for (int n = 0; n < V::lanes; ++n) sums[n] = w::load(l_ + (i + n) * w::size);
        V::store(sum, w::sums(sums));
      }
      const reals divisor(sum[lane]);
      float* to = t_.out + i / t_.group * t_.stride + i % t_.group * t_.head_dim;
      for (std::int64_t d = 0; d < t_.head_dim; d += w::size) {
        const w o = w::load(o_ + i * dims_ + d);
        w::each([&](int part) { return o.part[part] / divisor; }).store(to + d, t_.head_dim - d);
      }
    }
  }

  const attention_task& t_;
  const std::int64_t dims_, queries_, step_;
  std::int64_t at_ = 0;  // position of the block
  bool whole_ = false;   // every query sees all its keys
  float *decoded_, *rows_, *q_, *o_, *s_, *l_, *m_, *a_;
};

template <class V>
void attend(const attention_task& task, float* scratch) noexcept {
  attention_kernel<V>(task, scratch).run();
}

template <class V>
inline constexpr operations operations_for{
    rms_norm_rows<V>,
    gated_elements<V, silu>,
    gated_elements<V, gelu>,
    soft_cap_elements<V>,
    rope_rows<V>,
    token_codes<V>,
    attend<V>,
    attention_kernel<V>::scratch,
};

}  // namespace bq::cpu
