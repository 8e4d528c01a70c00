// Split models: which files belong together.
#pragma once
#include <vector>

#include "input_file.hpp"
#include "reader.hpp"

namespace bq::gguf {

// One opened file of a model.
struct part {
  input_file file;
  file_header header;
};

// Opens and parses one file.
part open_part(const std::string& path, const limits& max);

// All parts of the model that `named` is part of, in order; just `named` when it is not split. Removes the split.* keys
// of the first part. Throws errc::bad_shard, and what opening a part throws.
std::vector<part> open_all_parts(part named, const limits& max);

inline constexpr std::string_view split_no_key = "split.no", split_count_key = "split.count",
                                  split_tensors_key = "split.tensors.count";

}  // namespace bq::gguf
