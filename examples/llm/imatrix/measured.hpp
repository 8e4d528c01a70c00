// An importance matrix in the making: sums of squared activations, and how many tokens they are of. Collected, merged
// from files, and written in both forms (imatrix.hpp describes them).
#pragma once
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "imatrix/imatrix.hpp"

namespace bq_llm {

struct measured_weight {
  std::vector<double> sums;    // [experts, cols] of x^2
  std::vector<double> counts;  // [experts], tokens

  std::size_t cols() const { return sums.size() / counts.size(); }
};

struct measured_imatrix {
  std::int64_t chunk_size = 512;  // tokens
  std::vector<std::string> datasets = {};
  std::map<std::string, measured_weight, std::less<>> weights = {};

  // Adds activations [tokens, cols] that a weight without experts was multiplied with.
  void add(std::string_view weight, std::span<const float> x, std::int64_t tokens);
  // Adds what a file holds. A file in the legacy form counts chunks: they are taken for chunk_size tokens each. Throws
  // errc::bad_shape when a weight has other columns or experts than before, and as imatrix::load.
  void add(const imatrix& file);

  std::int64_t chunks() const;  // of the weight that has seen most
};

// Write a file that appears when it is complete. Throw errc::not_finite naming the weight, errc::io, errc::disk_full.
// The legacy form has no place for experts' counts: values are means times the chunks, 1 for an expert never reached.
void write_gguf(const measured_imatrix& m, const std::string& path);
void write_legacy(const measured_imatrix& m, const std::string& path);

}  // namespace bq_llm
