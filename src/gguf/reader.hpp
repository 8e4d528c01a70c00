// The header of one GGUF file: magic, version, counts, metadata, tensor infos; checked whole, including where the data
// lies.
#pragma once
#include <vector>

#include "blockquant/gguf.hpp"
#include "cursor.hpp"
#include "input_file.hpp"

namespace bq::gguf {

struct file_header {
  shard where;
  gguf::metadata metadata;
  std::vector<tensor> tensors;  // in the order of their infos; offsets from the start of the file
};

class reader {
 public:
  // Throws the structural codes of errc.
  static file_header read(const input_file& file, const limits& max);

 private:
  reader(const input_file& file, const limits& max);

  void read_magic();
  void read_version();
  void read_counts();
  void read_metadata();
  std::string read_name(std::uint64_t max_bytes, errc code);
  value read_value();
  value_type read_value_type(std::string_view what);
  void read_numbers(value& v, std::uint64_t count);
  void read_strings(value& v, std::uint64_t count);
  void read_alignment();
  void read_tensors();
  tensor read_tensor(std::size_t index, bool& bytes_known);

  const input_file& file_;
  const limits& max_;
  cursor in_;
  file_header out_;
  std::uint64_t tensor_count_ = 0, key_count_ = 0;
};

// What the first bytes of a file that is not GGUF look like: "a Git LFS pointer ...", "a zip archive ...".
std::string looks_like(std::span<const std::byte> head);

}  // namespace bq::gguf
