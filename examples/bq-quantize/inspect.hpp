// bq-quantize inspect: what a model file holds, without reading its weights.
#pragma once
#include <cstdint>
#include <string>

namespace bq_quantize {

struct inspect_options {
  bool json = false;
  bool all = false;  // print long strings and arrays in full
};

// Prints to standard output. Throws bq::error.
void inspect(const std::string& path, const inspect_options& options);

}  // namespace bq_quantize
