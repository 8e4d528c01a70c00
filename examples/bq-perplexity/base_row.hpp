// One row of a base file (base_file.hpp): log-probabilities to bytes and back.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

namespace bq_perplexity {

// Bytes of a row of codes.
std::uint64_t code_row_bytes(std::int64_t vocabulary);

// From logits, finite.
void encode_codes(std::span<const float> logits, std::span<std::byte> row);
void encode_floats(std::span<const float> logits, std::span<std::byte> row);

// To ln p; false when a value can be no log-probability.
bool decode_codes(std::span<const std::byte> row, std::span<float> log_p);
bool decode_floats(std::span<const std::byte> row, std::span<float> log_p);

}  // namespace bq_perplexity
