// Where tensors lie in a file: the only code that turns shapes and offsets into byte ranges.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "blockquant/gguf.hpp"
#include "input_file.hpp"

namespace bq::gguf {

// Bytes of a tensor's data by its shape and type; empty when the type's block size is not known. `file` and `at` only
// serve the error. Throws errc::bad_dimensions, errc::bad_shape, errc::removed_type, errc::unsupported_type (activation
// types).
std::optional<std::uint64_t> data_bytes(const tensor_shape& t, const std::string& file,
                                        std::optional<std::uint64_t> at);

// Completes the tensors of one file, whose `offset` still counts from the start of the data: makes it count from the
// start of the file, gives tensors of unknown types the bytes up to the next one, and checks every range. `header_end`
// is where the last tensor info ends; `bytes_known[i]` says that tensor i's size is final. Throws errc::bad_offset,
// errc::overlapping, errc::truncated, errc::trailing_data.
void place_tensors(const input_file& file, const shard& where, std::uint64_t header_end, std::span<tensor> tensors,
                   const std::vector<bool>& bytes_known);

}  // namespace bq::gguf
