#include "base_row.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "evaluation/log_softmax.hpp"

namespace bq_perplexity {

namespace {

constexpr float range = 24.0f;           // of ln p that codes cover
constexpr float most_codes = 65535.0f;   // steps
constexpr float slightly_above = 1e-3f;  // a log-probability is at most 0, but for rounding

struct scaling {
  float scale = 0, least = 0;
};

}  // namespace

std::uint64_t code_row_bytes(std::int64_t vocabulary) {
  return sizeof(scaling) + sizeof(std::uint16_t) * ((static_cast<std::uint64_t>(vocabulary) + 1) / 2 * 2);
}

void encode_codes(std::span<const float> logits, std::span<std::byte> row) {
  const bq_llm::softmax_summary s = bq_llm::summarise(logits);
  const float least = std::max(*std::min_element(logits.begin(), logits.end()), s.max - range);
  const scaling head{.scale = (s.max - least) / most_codes,
                     .least = static_cast<float>(static_cast<double>(least - s.max) - s.log_sum)};
  std::memcpy(row.data(), &head, sizeof head);
  const float codes_per_unit = head.scale > 0 ? 1.0f / head.scale : 0.0f;
  const std::span<std::byte> codes = row.subspan(sizeof head);
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const float steps = codes_per_unit * (std::max(logits[i], least) - least);
    const auto code = static_cast<std::uint16_t>(std::min(steps + 0.5f, most_codes));
    std::memcpy(&codes[2 * i], &code, sizeof code);
  }
  std::fill(codes.begin() + static_cast<std::ptrdiff_t>(2 * logits.size()), codes.end(), std::byte{0});
}

void encode_floats(std::span<const float> logits, std::span<std::byte> row) {
  std::vector<float> log_p(logits.size());
  bq_llm::log_probabilities(logits, bq_llm::summarise(logits), log_p);
  std::memcpy(row.data(), log_p.data(), row.size());
}

bool decode_codes(std::span<const std::byte> row, std::span<float> log_p) {
  scaling head;
  std::memcpy(&head, row.data(), sizeof head);
  // A row whose codes do not span the range has no token below them: code 0 is then a value like the others.
  const bool clipped = head.scale * most_codes >= 15.99f;
  const float zero = clipped ? bq_llm::no_probability : head.least;
  const std::byte* codes = row.data() + sizeof head;
  for (std::size_t i = 0; i < log_p.size(); ++i) {
    std::uint16_t code = 0;
    std::memcpy(&code, codes + 2 * i, sizeof code);
    const float value = head.scale * static_cast<float>(code) + head.least;
    log_p[i] = code == 0 ? zero : value;
  }
  const float most = head.scale * most_codes + head.least;
  return head.scale >= 0 && head.least > bq_llm::no_probability && most <= slightly_above;
}

bool decode_floats(std::span<const std::byte> row, std::span<float> log_p) {
  std::memcpy(log_p.data(), row.data(), row.size());
  bool good = true;
  for (const float v : log_p) good = good && v <= slightly_above && v > -1e30f;
  return good;
}

}  // namespace bq_perplexity
