// Products with F32, F16 and BF16 weights. Lanes are columns, so that rows are read as they lie. One output, on every
// instruction set and whatever the tile it falls into:
//
//   for each panel of float_panel_cols columns:   lane[c mod 16] = w[c] * x[c] + lane[c mod 16]   (fused, from zero)
//                                                 y += sum of the lanes, as a tree of halves (wide.hpp)
//
// Few tokens take weights as the file has them; for many, a panel of a strip is decoded to f32 first.
#pragma once
#include <algorithm>
#include <array>
#include <tuple>

#include "float_lanes.hpp"
#include "formats/registry.hpp"
#include "kernels.hpp"
#include "wide.hpp"

namespace bq::cpu {

inline constexpr int float_panel_cols = 1024;

// Rows of a tile.
template <class V>
inline constexpr int float_tile_rows = std::min(4, V::lanes);

// The same `cols` columns, a multiple of wide<V>::size, of some rows of weights and some tokens.
template <int Rows, int Tokens>
struct float_operands {
  const unsigned char* w[Rows];
  const float* x[Tokens];
  int cols;
};

// The lanes of each output: sums[t * stride + r]. Asks for what lies `ahead` bytes behind the weights.
template <class V, float_format F, int Rows, int Tokens>
BQ_HD void float_tile(const float_operands<Rows, Tokens>& whole, const float_operands<Rows, Tokens>& rest,
                      std::int64_t ahead, wide<V>* sums, int stride) {
  using reals = typename V::reals;
#pragma GCC unroll 1
  for (int part = 0; part < wide<V>::parts; ++part) {
    reals sum[Tokens][Rows];
#pragma GCC unroll 16
    for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 16
      for (int r = 0; r < Rows; ++r) sum[t][r] = reals(0.0f);
    }
    const auto add = [&](const float_operands<Rows, Tokens>& of) {
      for (int c = part * V::lanes; c < of.cols; c += wide<V>::size) {
        reals x[Tokens];
#pragma GCC unroll 16
        for (int t = 0; t < Tokens; ++t) x[t] = V::load_reals(of.x[t] + c);
#pragma GCC unroll 16
        for (int r = 0; r < Rows; ++r) {
          const unsigned char* from = of.w[r] + c * static_cast<int>(sizeof(typename F::block));
          if (ahead != 0) __builtin_prefetch(from + ahead);
          const reals w = load_floats<V, F>(from);
#pragma GCC unroll 16
          for (int t = 0; t < Tokens; ++t) sum[t][r] = V::fma(w, x[t], sum[t][r]);
        }
      }
    };
    add(whole);
    add(rest);
#pragma GCC unroll 16
    for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 16
      for (int r = 0; r < Rows; ++r) sums[t * stride + r].part[part] = sum[t][r];
    }
  }
}

// The same for any number of columns: what is beyond whole vectors is copied and filled up with zeros.
template <class V, float_format F, int Rows, int Tokens>
BQ_HD void float_block(const unsigned char* const* w, const float* const* x, int cols, std::int64_t ahead,
                       wide<V>* sums, int stride) {
  constexpr int bytes = sizeof(typename F::block), size = wide<V>::size;
  const int whole_cols = cols / size * size;
  float_operands<Rows, Tokens> whole, rest;
  alignas(64) unsigned char last_w[Rows][size * bytes];
  alignas(64) float last_x[Tokens][size];
  std::copy_n(w, Rows, whole.w);
  std::copy_n(x, Tokens, whole.x);
  whole.cols = whole_cols;
  rest.cols = 0;
  if (whole_cols < cols) {
    for (int r = 0; r < Rows; ++r) {
      memset(last_w[r], 0, sizeof last_w[r]);
      memcpy(last_w[r], w[r] + whole_cols * bytes, static_cast<std::size_t>((cols - whole_cols) * bytes));
      rest.w[r] = last_w[r];
    }
    for (int t = 0; t < Tokens; ++t) {
      wide<V>::load(x[t] + whole_cols, cols - whole_cols).store(last_x[t]);
      rest.x[t] = last_x[t];
    }
    rest.cols = size;
  }
  float_tile<V, F, Rows, Tokens>(whole, rest, ahead, sums, stride);
}

// `count` rows at w, row_bytes apart, times x [tokens, cols], at most Tokens of them: y [tokens, stride].
template <class V, float_format F, int Tokens>
void float_matvec(const unsigned char* w, std::int64_t row_bytes, std::int64_t count, const float* x, std::int64_t cols,
                  std::int64_t tokens, float* y, std::int64_t stride) noexcept {
  constexpr int lanes = V::lanes, bytes = sizeof(typename F::block);
  // Rows of 16-bit weights one after the other, in long stretches, suit the memory best; what is ahead then is simply
  // what follows. Several tokens share what is loaded, and panels of them must stay in the first-level cache.
  constexpr int height = Tokens == 1 && bytes == 2 ? 1 : float_tile_rows<V>, panels = std::max(1, 4 / Tokens);
  for (std::int64_t row = 0; row < count; row += lanes) {
    const std::int64_t here = std::min<std::int64_t>(lanes, count - row);
    typename V::reals total[Tokens];
    for (int t = 0; t < Tokens; ++t) total[t] = typename V::reals(0.0f);
    for (std::int64_t begin = 0; begin < cols; begin += panels * float_panel_cols) {
      const std::int64_t end = std::min<std::int64_t>(begin + panels * float_panel_cols, cols);
      wide<V> sums[panels][Tokens][lanes];
      for (int r = 0; r < lanes; r += height) {
        const unsigned char* rows[height];  // the last row stands in for those beyond it
        for (int i = 0; i < height; ++i) {
          rows[i] = w + (row + std::min<std::int64_t>(r + i, here - 1)) * row_bytes + begin * bytes;
        }
        for (std::int64_t at = begin; at < end; at += float_panel_cols) {
          const int width = static_cast<int>(std::min<std::int64_t>(float_panel_cols, end - at));
          const std::int64_t next = height == 1        ? 4 * float_panel_cols * bytes
                                    : at + width < end ? width * bytes
                                                       : height * row_bytes - (at - begin) * bytes;
          const float* from[Tokens];  // the last token stands in, too
          for (int t = 0; t < Tokens; ++t) from[t] = x + std::min<std::int64_t>(t, tokens - 1) * cols + at;
          float_block<V, F, height, Tokens>(rows, from, width, next, &sums[(at - begin) / float_panel_cols][0][r],
                                            lanes);
          for (int i = 0; i < height; ++i) rows[i] += width * bytes;
        }
      }
      for (std::int64_t p = 0; begin + p * float_panel_cols < end; ++p) {
        for (int t = 0; t < Tokens; ++t) total[t] = total[t] + wide<V>::sums(sums[p][t]);
      }
    }
    for (int t = 0; t < std::min<std::int64_t>(Tokens, tokens); ++t) {
      alignas(64) float lane[lanes];
      V::store(lane, total[t]);
      std::copy_n(lane, here, y + t * stride + row);
    }
  }
}

template <class V>
inline constexpr int float_strip_rows = V::strip* V::lanes;

// Columns [at, at + cols) as f32; zeros up to a multiple of wide<V>::size.
template <class V, float_format F>
void decode_columns(const unsigned char* row, int cols, float* out) noexcept {
  constexpr int bytes = sizeof(typename F::block), lanes = V::lanes, size = wide<V>::size;
  int c = 0;
  for (; c + lanes <= cols; c += lanes) V::store(out + c, load_floats<V, F>(row + c * bytes));
  for (; c < cols; ++c) {
    typename F::block b;
    memcpy(&b, row + c * bytes, bytes);
    out[c] = F::decode(b);
  }
  for (; c % size != 0; ++c) out[c] = 0;
}

// A strip times Tokens tokens of a panel that begins at x: y grows by it, or is set where the panel is the first.
template <class V, int Tokens>
void float_panel_product(const unsigned char* const* strip, const float* x, std::int64_t x_stride, int cols, bool first,
                         float* y, std::int64_t stride) noexcept {
  constexpr int lanes = V::lanes, height = float_tile_rows<V>, size = wide<V>::size;
  const int width = (cols + size - 1) / size * size;
  // A copy: aligned, filled up with zeros, and not powers of two apart.
  alignas(64) float copy[Tokens][float_panel_cols + size];
  const float* from[Tokens];
  for (int t = 0; t < Tokens; ++t) {
    std::fill_n(std::copy_n(x + t * x_stride, cols, copy[t]), width - cols, 0.0f);
    from[t] = copy[t];
  }
  for (int row = 0; row < float_strip_rows<V>; row += lanes) {
    wide<V> sums[Tokens][lanes];
    for (int r = 0; r < lanes; r += height) {
      float_block<V, f32, height, Tokens>(strip + row + r, from, width, 0, &sums[0][r], lanes);
    }
    for (int t = 0; t < Tokens; ++t) {
      float* to = y + t * stride + row;
      const auto sofar = first ? typename V::reals(0.0f) : V::load_reals(to);
      V::store(to, sofar + wide<V>::sums(sums[t]));
    }
  }
}

template <class V, float_format F>
void float_strip(const unsigned char* const* rows, int count, std::int64_t cols, const float* x, std::int64_t first,
                 std::int64_t last, float* memory, float* y, std::int64_t stride) noexcept {
  constexpr int height = float_strip_rows<V>, tokens = V::float_tokens, bytes = sizeof(typename F::block);
  float* const sums = memory + static_cast<std::ptrdiff_t>(height) * float_panel_cols;
  const unsigned char* decoded[height];
  for (std::int64_t at = 0; at < cols; at += float_panel_cols) {
    const int width = static_cast<int>(std::min<std::int64_t>(float_panel_cols, cols - at));
    for (int r = 0; r < height; ++r) {
      float* const to = memory + static_cast<std::ptrdiff_t>(r) * float_panel_cols;
      decode_columns<V, F>(rows[r] + at * bytes, width, to);
      decoded[r] = reinterpret_cast<const unsigned char*>(to);
    }
    const auto multiply = [&]<int Tokens>(std::integral_constant<int, Tokens>, std::int64_t t) {
      float_panel_product<V, Tokens>(decoded, x + t * cols + at, cols, width, at == 0, sums + (t - first) * height,
                                     height);
    };
    std::int64_t t = first;
    for (; t + tokens <= last; t += tokens) multiply(std::integral_constant<int, tokens>(), t);
    for (; t + 2 <= last; t += 2) multiply(std::integral_constant<int, 2>(), t);
    if (t < last) multiply(std::integral_constant<int, 1>(), t);
  }
  for (std::int64_t t = 0; t < last - first; ++t) std::copy_n(sums + t * height, count, y + t * stride);
}

template <class V, class List>
struct float_table;

template <class V, class... F>
struct float_table<V, std::tuple<F...>> {
  static constexpr std::array<float_kernels, sizeof...(F)> rows{float_kernels{
      F::id, {float_matvec<V, F, 1>, float_matvec<V, F, 2>, float_matvec<V, F, 4>}, float_strip<V, F>}...};
};

template <class V>
inline constexpr float_products float_products_for{float_strip_rows<V>, float_panel_cols,
                                                   float_table<V, float_formats>::rows};

}  // namespace bq::cpu
