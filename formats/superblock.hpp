// What the quantisers of the 256-weight K formats share. A super-block holds groups of 16 or 32 weights; each group's
// scale (and minimum) is found on its own, then these are quantised to 4, 6 or 8 bits under one f16, and the weights
// are rounded again to the scales that result. Source: quantize_row_q*_K_ref and _impl of ggml-quants.c.
#pragma once
#include "decode.hpp"
#include "search.hpp"

namespace bq {

inline constexpr int superblock = 256;

// Codes of a block from its stored scales. A group whose scale became zero keeps the codes it had.
template <class L, class F>
BQ_BOTH void requantize(const typename L::reals* x, const typename L::template blocks<F>& stored,
                        typename L::ints* codes) {
  constexpr int low = -F::zero, high = (1 << F::code_bits) - 1 - F::zero;
  for (int g = 0; g < superblock / F::group; ++g) {
    const typename L::reals scale = group_scale<F>(stored, g), minimum = group_min<F>(stored, g);
    const auto keep = scale == 0.0f;
    for (int i = g * F::group; i < (g + 1) * F::group; ++i) {
      codes[i] = L::select(keep, codes[i], nearest_int<L>((x[i] + minimum) / scale, low, high) - low);
    }
  }
}

// The variance term of the error weights of a super-block with importance: `factor` times the mean square.
template <class L>
BQ_BOTH typename L::reals superblock_variance(const typename L::reals* x, float factor) {
  return factor * sum_squares<L>(x, superblock) / static_cast<float>(superblock);
}

// How an affine format (Q2_K, Q4_K, Q5_K) finds its groups.
struct affine_recipe {
  int code_limit, scale_limit;
  affine_grid grid;  // without importance
  bool offset;       // error weights without importance: |x|, plus the group's RMS if set
  float factor;      // with importance: see superblock_variance
};

// An affine super-block before packing: weight = d * scales[g] * code - dmin * mins[g]. d and dmin are bits of f16.
template <class L, int Group>
struct affine_superblock {
  using reals = typename L::reals;
  using ints = typename L::ints;
  static constexpr int groups = superblock / Group;
  ints codes[superblock], scales[groups], mins[groups], d, dmin;

  // x [256], importance [256] or null.
  BQ_BOTH affine_superblock(const reals* x, const reals* importance, const affine_recipe& recipe) {
    reals w[Group], group_scales[groups], group_mins[groups], group_weights[groups];
    const reals variance = importance ? superblock_variance<L>(x, recipe.factor) : reals(0.0f);
    const affine_grid grid = importance ? affine_grid{-0.9f, 0.05f, 36, false} : recipe.grid;
    for (int g = 0; g < groups; ++g) {
      const int at = g * Group;
      if (importance)
        importance_weights<L>(x + at, importance + at, Group, variance, w);
      else
        plain_weights(x + at, recipe.offset, w);
      group_weights[g] = sum<L>(w, Group);
      group_scales[g] = affine_search<L>(x + at, w, Group, recipe.code_limit, grid, codes + at, &group_mins[g]);
    }
    const reals* level_weights = importance ? group_weights : nullptr;
    d = f16_bits<L>(quantize_levels(group_scales, level_weights, recipe.scale_limit, scales));
    dmin = f16_bits<L>(quantize_levels(group_mins, level_weights, recipe.scale_limit, mins));
  }

 private:
  BQ_BOTH static void plain_weights(const reals* x, bool offset, reals* w) {
    const reals rms = offset ? L::sqrt(sum_squares<L>(x, Group) / static_cast<float>(Group)) : reals(0.0f);
    for (int i = 0; i < Group; ++i) w[i] = rms + L::abs(x[i]);
  }

  // Levels >= 0 as integers up to `limit`; returns the factor.
  BQ_BOTH static reals quantize_levels(const reals* levels, const reals* w, int limit, ints* out) {
    if (w) return positive_search<L>(levels, w, groups, limit, out);
    reals top = levels[0];
    for (int g = 1; g < groups; ++g) top = L::select(top < levels[g], levels[g], top);
    top = L::select(top > 0.0f, top, 0.0f);
    const reals inverse = L::select(top > 0.0f, static_cast<float>(limit) / top, 0.0f);
    for (int g = 0; g < groups; ++g) out[g] = L::min(nearest_int<L>(inverse * levels[g]) & 255, limit);
    return top / static_cast<float>(limit);
  }
};

}  // namespace bq
