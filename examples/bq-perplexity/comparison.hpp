// Several models against the first of them, as a table, as JSON, and as a plot of size against PPL and KLD.
#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "divergence.hpp"

namespace bq_perplexity {

struct compared_model {
  std::string name, path;
  std::uint64_t bytes = 0;
  std::int64_t parameters = 0;
  divergence_statistics statistics;

  double bits_per_weight() const { return 8.0 * static_cast<double>(bytes) / static_cast<double>(parameters); }
};

struct comparison {
  std::string text;
  std::int64_t context = 0, windows = 0;
  std::vector<compared_model> models;  // the base first
};

// File names without what all have in common before and after: "model-q4_K.gguf", "model-q6_K.gguf" are "q4_K", "q6_K".
std::vector<std::string> short_names(const std::vector<std::string>& paths);

std::string to_table(const comparison& c);

// {"text", "context", "windows", "models": [{"name", "path", "file_size", "bits_per_weight"} and the members of
// to_json(divergence_statistics)]}
nlohmann::ordered_json to_json(const comparison& c);

// An SVG document with two panels: PPL, and KLD on a logarithmic scale, over the file's size. A model whose KLD is 0,
// as the base's, is not in the second one.
std::string to_svg(const comparison& c);

}  // namespace bq_perplexity
