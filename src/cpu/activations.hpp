// Activations as the products take them, whatever the weights' format: int8 codes with one f32 scale for each token and
// run of 32 columns, and the sums of the codes of each half of a run. In the precise tier a code has 16 bits, as two
// planes of digits from -127 to 127: 255 * high + low. (A digit of -128 would overflow where a product's sign goes to
// the activation.)
//
//   d = max |x| / limit, code = x / d rounded to nearest even; limit 127, or 127 * 256 for two planes
//
// A run with a NaN or an infinity gets d = NaN, so that every output of its token is NaN. A run whose largest value is
// below 2^-100 counts as zero. d stands for each run, however it came about (activation_scaling):
//
//   own     max |x| of the run
//   powers  of the panel, halved as often, 15 times at most, as it stays at or above that of the run: what a scale
//           multiplies can be scaled by powers of two, and once for the panel
//   shared  of 256 columns
#pragma once
#include <cstddef>
#include <cstdint>

#include "panel.hpp"

namespace bq::cpu {

// Pointers into memory in stretches of panel_cols columns: a panel meets all tokens before the next one comes, and rows
// that are powers of two apart would fight for the same cache lines. What lies beyond `cols` is zero.
struct activations {
  static constexpr int panel_runs = panel_cols / run;
  std::int64_t cols = 0, tokens = 0;
  int planes = 1;
  activation_scaling scales{};
  std::int8_t* codes = nullptr;  // [panels][tokens][planes][panel_cols]
  float* d = nullptr;            // [panels][tokens][panel_runs]
  std::int32_t* sums = nullptr;  // [panels][tokens][planes][2][panel_runs]: of the codes of the runs' two halves

  BQ_HD std::int64_t panels() const { return (cols + panel_cols - 1) / panel_cols; }
  BQ_HD std::int8_t* codes_of(std::int64_t panel, std::int64_t token, int plane) const {
    return codes + ((panel * tokens + token) * planes + plane) * panel_cols;
  }
  BQ_HD float* d_of(std::int64_t panel, std::int64_t token) const { return d + (panel * tokens + token) * panel_runs; }
  BQ_HD std::int32_t* sums_of(std::int64_t panel, std::int64_t token, int plane) const {
    return sums + ((panel * tokens + token) * planes + plane) * 2 * panel_runs;
  }

  // What codes, d and sums take together; and their division of so many bytes, aligned to 64.
  BQ_HD std::size_t bytes() const {
    const int sums_and_d = (2 * planes + 1) * panel_runs * static_cast<int>(sizeof(float));
    return static_cast<std::size_t>(panels() * tokens * (planes * panel_cols + sums_and_d));
  }
  BQ_HD void place(std::byte* memory) {
    const std::int64_t stretches = panels() * tokens;
    codes = reinterpret_cast<std::int8_t*>(memory);
    d = reinterpret_cast<float*>(codes + stretches * planes * panel_cols);
    sums = reinterpret_cast<std::int32_t*>(d + stretches * panel_runs);
  }
};

// Of the same values, as many of the scalings as their products need; the others have no tokens.
struct activation_forms {
  activations forms[3];

  activations& of(activation_scaling s) { return forms[static_cast<int>(s) - 1]; }
  const activations& of(activation_scaling s) const { return forms[static_cast<int>(s) - 1]; }
};

}  // namespace bq::cpu
