// Every class of malformed GGUF file, as a table: what is wrong, the bytes, and the error that opening must give. A
// second table holds files that look wrong and are not: what the format's document allows and ggml's code refuses, or
// the other way round.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "blockquant/error.hpp"

namespace test {

struct malformed_file {
  std::string name;
  bq::errc code;
  std::function<std::string()> bytes;
};
const std::vector<malformed_file>& malformed_files();

struct accepted_file {
  std::string name;
  std::size_t tensors;
  std::function<std::string()> bytes;
};
const std::vector<accepted_file>& accepted_files();

// A split model with something wrong in it. The first file is the one that is opened.
struct named_bytes {
  std::string name, bytes;
};
struct malformed_split {
  std::string name;
  bq::errc code;
  std::function<std::vector<named_bytes>()> files;
};
const std::vector<malformed_split>& malformed_splits();

}  // namespace test
