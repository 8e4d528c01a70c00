// Quantises a matrix to 4.5 bits per weight, and decodes it again.
#include <blockquant/quantize.hpp>
#include <cmath>
#include <cstdio>
#include <vector>

int main() {
  const std::int64_t rows = 64, cols = 4096;
  std::vector<float> weights(rows * cols);
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = std::sin(0.1f * static_cast<float>(i));

  bq::thread_pool threads;
  std::vector<std::byte> blocks(rows * bq::row_bytes(bq::type::q4_K, cols));
  bq::quantize(bq::type::q4_K, weights, rows, cols, blocks, {.threads = &threads});

  std::vector<float> decoded(weights.size());
  bq::dequantize(bq::type::q4_K, blocks, rows, cols, decoded, &threads);
  std::printf("%zu bytes; weight 1 was %.4f, is %.4f\n", blocks.size(), weights[1], decoded[1]);
}
