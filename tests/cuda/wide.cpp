// Products of many tokens on the GPU, for every format, at shapes around the tiles of src/cuda/wide.cuh: they agree
// with f64, and every token has the bits that it has in a batch of at most 64 and in repeated runs.
#include "oracle.hpp"

TEST_CASE_TEMPLATE_DEFINE("many tokens at once have the bits of few at a time", F, many_of) {
  if constexpr (!bq::activation_format<F>) {
    if (bq::cuda::device_count() == 0) return;
    CAPTURE(F::name);
    constexpr std::int64_t block = F::block_size, few = 64;
    struct shape {
      std::int64_t rows, cols, tokens, checked_step;
    };
    bq::cuda::transfer mover;
    for (const shape& s : {shape{1, block, 65, 1}, shape{33, 3 * 256, 127, 1}, shape{100, 1024 + block, 128, 3},
                           shape{257, 2560 / block * block, 200, 17}, shape{8465, 256, 529, 300}}) {
      CAPTURE(s.rows);
      CAPTURE(s.tokens);
      const auto w = oracle::make_weights<F>(s.rows, s.cols, static_cast<unsigned>(s.tokens));
      const bq::cuda::device_matrix on_device = mover.upload({F::id, s.rows, s.cols, w.blocks});
      const auto x = oracle::make_activations(s.tokens, s.cols);
      const device::array device_x(x);
      const std::vector<float> y = oracle::product(on_device, device_x, 0, s.tokens);
      oracle::check_against_f64(w, x, y, s.checked_step);
      CHECK(device::same_bits(oracle::product(on_device, device_x, 0, s.tokens), y));
      for (std::int64_t first = 0; first < s.tokens; first += few) {
        const std::int64_t tokens = std::min(few, s.tokens - first);
        const auto from = y.begin() + first * s.rows;
        CHECK(device::same_bits(oracle::product(on_device, device_x, first, tokens),
                                std::vector<float>(from, from + tokens * s.rows)));
      }
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(many_of, bq::all_formats);
