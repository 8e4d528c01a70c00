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

#include "elementwise.hpp"
#include "token_codes.hpp"

namespace bq::cpu {

template <class V>
class attention_kernel {
 public:
  static constexpr int block = 64;

  static std::int64_t scratch(std::int64_t queries, std::int64_t head_dim) noexcept {
    const std::int64_t dims = padded(head_dim);
    return 2 * block * dims + wide<V>::size * dims + queries * (2 * dims + block + wide<V>::size + 2);
  }

  attention_kernel(const attention_task& task, float* memory) noexcept
      : t_(task), dims_(padded(task.head_dim)), queries_(task.tokens * task.group) {
    const auto take = [&](std::int64_t floats) {
      float* p = memory;
      memory += floats;
      return p;
    };
    keys_ = take(block * dims_);
    values_ = take(block * dims_);
    rows_ = take(wide<V>::size * dims_);
    q_ = take(queries_ * dims_);
    o_ = take(queries_ * dims_);
    s_ = take(queries_ * block);
    l_ = take(queries_ * wide<V>::size);
    m_ = take(queries_);
    a_ = take(queries_);
  }

  void run() noexcept {
    load_queries();
    clear(rows_, wide<V>::size * dims_);
    clear(values_, block * dims_);
    const std::int64_t first = begin_of(0), last = t_.position + t_.tokens;
    for (std::int64_t at = first / block * block; at < last; at += block) {
      const std::int64_t from = std::max(at, first) - at, to = std::min(at + block, last) - at;
      load_keys(at, from, to);
      load_values(at, from, to);
      score();
      bool all = true;  // every query sees every key of the block
      for (std::int64_t t = 0; t < t_.tokens; ++t) {
        const range seen = seen_by(t, at);
        all = all && seen.from == 0 && seen.to == block;
        if (seen.from >= seen.to) continue;
        for (std::int64_t h = 0; h < t_.group; ++h) weigh(t * t_.group + h, seen);
      }
      if (all) {
        add_values(0, queries_, {0, block});
      } else {
        for (std::int64_t t = 0; t < t_.tokens; ++t) {
          const range seen = seen_by(t, at);
          if (seen.from < seen.to) add_values(t * t_.group, (t + 1) * t_.group, seen);
        }
      }
    }
    store_outputs();
  }

 private:
  using reals = typename V::reals;
  using w = wide<V>;
  static constexpr int tile_queries = 6, tile_vectors = V::accumulators < 16 ? 2 : 4;
  static_assert(block % (tile_vectors * V::lanes) == 0);

  struct range {
    std::int64_t from, to;
  };

  BQ_HD static void clear(float* p, std::int64_t n) noexcept { memset(p, 0, static_cast<std::size_t>(n) * sizeof *p); }
  static std::int64_t padded(std::int64_t head_dim) noexcept { return (head_dim + w::size - 1) / w::size * w::size; }
  std::int64_t begin_of(std::int64_t token) const noexcept {
    return std::max<std::int64_t>(0, t_.position + token + 1 - t_.window);
  }
  // The keys of the block at `at` that a token sees.
  range seen_by(std::int64_t token, std::int64_t at) const noexcept {
    return {std::max<std::int64_t>(0, begin_of(token) - at),
            std::min<std::int64_t>(block, t_.position + token + 1 - at)};
  }

  void load_queries() noexcept {
    for (std::int64_t i = 0; i < queries_; ++i) {
      const float* from = t_.q + i / t_.group * t_.stride + i % t_.group * t_.head_dim;
      float* to = q_ + i * dims_;
      for (std::int64_t d = 0; d < dims_; ++d) to[d] = d < t_.head_dim ? from[d] * t_.scale : 0.0f;
      m_[i] = -0x1.fffffep127f;
      w(0.0f).store(l_ + i * w::size);
    }
    clear(o_, queries_ * dims_);
  }

  // Keys [from, to) of the block, turned so that lanes are keys: keys_[d][key].
  void load_keys(std::int64_t at, std::int64_t from, std::int64_t to) noexcept {
    const unsigned char* pointers[V::lanes];
    for (int lane = 0; lane < V::lanes; ++lane) {
      pointers[lane] = reinterpret_cast<const unsigned char*>(rows_ + lane * dims_);
    }
    for (std::int64_t key = from / V::lanes * V::lanes; key < to; key += V::lanes) {
      for (std::int64_t k = std::max(key, from); k < std::min(key + V::lanes, to); ++k) {
        t_.keys.decode(t_.keys.rows + (at + k) * t_.keys.stride, t_.keys.blocks, rows_ + (k - key) * dims_);
      }
      for (std::int64_t d = 0; d < dims_; d += 4) {
        alignas(64) unsigned char turned[16 * V::lanes];
        V::interleave16(pointers, 4 * d, turned);
        for (int i = 0; i < 4; ++i) {
          V::store(keys_ + (d + i) * block + key, V::as_reals(V::load32(turned + i * 4 * V::lanes)));
        }
      }
    }
  }

  void load_values(std::int64_t at, std::int64_t from, std::int64_t to) noexcept {
    for (std::int64_t k = from; k < to; ++k) {
      t_.values.decode(t_.values.rows + (at + k) * t_.values.stride, t_.values.blocks, values_ + k * dims_);
    }
  }

  template <int Queries>
  BQ_HD void score_tile(std::int64_t query, int key) noexcept {
    reals sum[Queries][tile_vectors];
#pragma GCC unroll 16
    for (int i = 0; i < Queries; ++i) {
#pragma GCC unroll 16
      for (int v = 0; v < tile_vectors; ++v) sum[i][v] = reals(0.0f);
    }
    const float *q = q_ + query * dims_, *keys = keys_ + key;
    for (std::int64_t d = 0; d < t_.head_dim; ++d) {
      reals k[tile_vectors];
#pragma GCC unroll 16
      for (int v = 0; v < tile_vectors; ++v) k[v] = V::load_reals(keys + d * block + v * V::lanes);
#pragma GCC unroll 16
      for (int i = 0; i < Queries; ++i) {
        const reals one(q[i * dims_ + d]);
#pragma GCC unroll 16
        for (int v = 0; v < tile_vectors; ++v) sum[i][v] = V::fma(one, k[v], sum[i][v]);
      }
    }
#pragma GCC unroll 16
    for (int i = 0; i < Queries; ++i) {
#pragma GCC unroll 16
      for (int v = 0; v < tile_vectors; ++v) V::store(s_ + (query + i) * block + key + v * V::lanes, sum[i][v]);
    }
  }

  // s_ [queries, block]: of all keys in the block's memory, those that nobody sees as well.
  void score() noexcept {
    for (int key = 0; key < block; key += tile_vectors * V::lanes) {
      std::int64_t i = 0;
      for (; i + tile_queries <= queries_; i += tile_queries) score_tile<tile_queries>(i, key);
      for (; i + 3 <= queries_; i += 3) score_tile<3>(i, key);
      for (; i < queries_; ++i) score_tile<1>(i, key);
    }
  }

  // Scores become weights p; m, l and a follow.
  BQ_HD void weigh(std::int64_t query, range seen) noexcept {
    float* s = s_ + query * block;
    for (std::int64_t k = 0; k < seen.from; ++k) s[k] = -HUGE_VALF;
    for (std::int64_t k = seen.to; k < block; ++k) s[k] = -HUGE_VALF;
    w top(m_[query]);
    for (int k = 0; k < block; k += w::size) top = larger(top, w::load(s + k));
    alignas(64) float lane[w::size];
    top.store(lane);
    float m = lane[0];
    for (int i = 1; i < w::size; ++i) m = std::max(m, lane[i]);
    const w before(m_[query]), now(m), a = exp_difference(before, now);
    w l = w::load(l_ + query * w::size) * a;
    for (int k = 0; k < block; k += w::size) {
      const w p = exp_difference(w::load(s + k), now);
      p.store(s + k);
      l = l + p;
    }
    l.store(l_ + query * w::size);
    a.store(lane);
    a_[query] = lane[0];
    m_[query] = m;
  }
  BQ_HD static w larger(const w& a, const w& b) {
    return w::each([&](int i) { return V::select(a.part[i] < b.part[i], b.part[i], a.part[i]); });
  }
  BQ_HD static w exp_difference(const w& a, const w& b) {
    return w::each([&](int i) { return exponential<V>(a.part[i] - b.part[i]); });
  }

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
    const float *p = s_ + query * block, *values = values_ + dim;
    for (std::int64_t k = seen.from; k < seen.to; ++k) {
      reals value[Vectors];
#pragma GCC unroll 16
      for (int v = 0; v < Vectors; ++v) value[v] = V::load_reals(values + k * dims_ + v * V::lanes);
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

  template <int Vectors>
  BQ_HD void value_tiles(std::int64_t first, std::int64_t last, std::int64_t dim, range seen) noexcept {
    std::int64_t i = first;
    for (; i + tile_queries <= last; i += tile_queries) value_tile<tile_queries, Vectors>(i, dim, seen);
    for (; i + 3 <= last; i += 3) value_tile<3, Vectors>(i, dim, seen);
    for (; i < last; ++i) value_tile<1, Vectors>(i, dim, seen);
  }

  // o of queries [first, last), over these keys of the block.
  void add_values(std::int64_t first, std::int64_t last, range seen) noexcept {
    std::int64_t dim = 0;
    for (; dim + tile_vectors * V::lanes <= dims_; dim += tile_vectors * V::lanes) {
      value_tiles<tile_vectors>(first, last, dim, seen);
    }
    for (; dim < dims_; dim += V::lanes) value_tiles<1>(first, last, dim, seen);
  }

  void store_outputs() noexcept {
    for (std::int64_t i = 0; i < queries_; ++i) {
      const float sum = w::load(l_ + i * w::size).sum();
      float* to = t_.out + i / t_.group * t_.stride + i % t_.group * t_.head_dim;
      for (std::int64_t d = 0; d < t_.head_dim; ++d) to[d] = o_[i * dims_ + d] / sum;
    }
  }

  const attention_task& t_;
  const std::int64_t dims_, queries_;
  float *keys_, *values_, *rows_, *q_, *o_, *s_, *l_, *m_, *a_;
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
