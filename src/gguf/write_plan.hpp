// How a model is divided into files, and where everything lies in them: fixed before the first byte is written.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "blockquant/gguf.hpp"

namespace bq::gguf {

struct planned_tensor : tensor_shape {
  std::uint32_t part = 0;
  std::uint64_t offset = 0;  // bytes from the start of the data of its part
};

struct planned_part {
  std::string path;
  gguf::metadata metadata;
  std::vector<std::uint32_t> tensors;  // indices, in the order of their data
  std::uint64_t data_offset = 0;       // bytes from the start of the file
  std::uint64_t file_bytes = 0;
};

struct write_plan {
  std::uint64_t alignment = 32;  // bytes
  std::vector<planned_tensor> tensors;
  std::vector<planned_part> parts;
  std::uint64_t total_bytes = 0;
};

// Throws errc::bad_key, errc::bad_tensor_name, errc::duplicate_tensor, errc::bad_alignment, the codes of data_bytes(),
// errc::out_of_range (files beyond 2^63 bytes, more than 65535 parts), errc::invalid_argument (shard_of of another
// length).
write_plan plan_files(const std::string& path, gguf::metadata meta, std::vector<tensor_shape> tensors,
                      const write_options& options);

// The bytes before the data of a part, padding included.
std::vector<std::byte> encode_header(const write_plan& plan, const planned_part& part);

// Where the value of `key` lies in a part's file. The key must be there.
std::uint64_t value_offset(const planned_part& part, std::string_view key);

}  // namespace bq::gguf
