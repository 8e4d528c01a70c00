// What the quantisers of the 256-weight K formats share. A super-block holds groups of 16 or 32 weights; each group's
// scale (and minimum) is found on its own, then these are quantised to 4, 6 or 8 bits under one f16, and the weights
// are rounded again to the scales that result. Source: quantize_row_q*_K_ref and _impl of ggml-quants.c.
#pragma once
#include "decode.hpp"
#include "search.hpp"

namespace bq {

inline constexpr int superblock = 256;

// Codes of a block from its stored scales. A group whose scale became zero keeps the codes it had.
template <class F>
void requantize(const float* x, const typename F::block& b, std::uint8_t* codes) {
  constexpr int low = -F::zero, high = (1 << F::code_bits) - 1 - F::zero;
  const block_source s(&b);
  for (int g = 0; g < superblock / F::group; ++g) {
    const float scale = group_scale<F>(s, g), minimum = group_min<F>(s, g);
    if (scale == 0) continue;
    for (int i = g * F::group; i < (g + 1) * F::group; ++i) {
      codes[i] = static_cast<std::uint8_t>(std::clamp(nearest_int((x[i] + minimum) / scale), low, high) - low);
    }
  }
}

// Error weights of a super-block with importance; `factor` times the mean square is their variance term.
inline void superblock_weights(const float* x, const float* importance, float factor, float* w) {
  importance_weights(x, importance, superblock, factor * sum_squares(x, superblock) / superblock, w);
}

// How an affine format (Q2_K, Q4_K, Q5_K) finds its groups.
struct affine_recipe {
  int code_limit, scale_limit;
  affine_grid grid;  // without importance
  bool offset;       // error weights without importance: |x|, plus the group's RMS if set
  float factor;      // with importance: see superblock_weights
};

// An affine super-block before packing: weight = d * scales[g] * code - dmin * mins[g].
template <int Group>
struct affine_superblock {
  static constexpr int groups = superblock / Group;
  std::uint8_t codes[superblock], scales[groups], mins[groups];
  std::uint16_t d, dmin;

  // x [256], importance [256] or null.
  affine_superblock(const float* x, const float* importance, const affine_recipe& recipe) {
    float w[superblock], group_scales[groups], group_mins[groups], group_weights[groups];
    if (importance)
      superblock_weights(x, importance, recipe.factor, w);
    else
      plain_weights(x, recipe.offset, w);
    const affine_grid grid = importance ? affine_grid{-0.9f, 0.05f, 36, false} : recipe.grid;
    for (int g = 0; g < groups; ++g) {
      const int at = g * Group;
      group_weights[g] = sum(w + at, Group);
      group_scales[g] = affine_search(x + at, w + at, Group, recipe.code_limit, grid, codes + at, &group_mins[g]);
    }
    const float* level_weights = importance ? group_weights : nullptr;
    d = f16_from_f32(quantize_levels(group_scales, level_weights, recipe.scale_limit, scales));
    dmin = f16_from_f32(quantize_levels(group_mins, level_weights, recipe.scale_limit, mins));
  }

 private:
  static void plain_weights(const float* x, bool offset, float* w) {
    for (int at = 0; at < superblock; at += Group) {
      const float rms = offset ? std::sqrt(sum_squares(x + at, Group) / Group) : 0.0f;
      for (int i = at; i < at + Group; ++i) w[i] = rms + std::fabs(x[i]);
    }
  }

  // Levels >= 0 as integers up to `limit`; returns the factor.
  static float quantize_levels(const float* levels, const float* w, int limit, std::uint8_t* out) {
    if (w) return positive_search(levels, w, groups, limit, out);
    const float top = std::max(0.0f, *std::max_element(levels, levels + groups));
    const float inverse = top > 0 ? static_cast<float>(limit) / top : 0.0f;
    for (int g = 0; g < groups; ++g) {
      out[g] = static_cast<std::uint8_t>(std::min(nearest_int(inverse * levels[g]) & 255, limit));
    }
    return top / static_cast<float>(limit);
  }
};

}  // namespace bq
