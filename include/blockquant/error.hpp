// The one exception type of the library. An error is data: programs print what() as one line, or the fields as JSON.
#pragma once
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace bq {

enum class errc {
  // arguments and values
  invalid_argument,  // a size, pointer or option that no call accepts
  unknown_type,      // a type id or name that nobody defines
  unsupported_type,  // a type that is known, but that this operation does not handle
  bad_shape,         // a shape that does not fit the type, the data or the other operand
  not_finite,        // NaN or infinity where only finite numbers make sense
  out_of_range,      // a finite value that the target cannot represent
  device,            // the GPU or its driver refused a call; `found` holds its message
  // the file system
  io,            // the system refused a read, write, open or rename; `found` holds its message
  not_a_file,    // a directory, FIFO, socket or device where a regular file is needed
  disk_full,     // not enough space, found before or while writing
  same_file,     // input and output are one file
  file_exists,   // an output that must not be overwritten
  file_changed,  // a file that shrank or was replaced while in use
  // GGUF structure
  not_gguf,          // another magic; `found` says what it looks like
  bad_byte_order,    // a version whose bytes make sense in neither order
  bad_version,       // not 2 or 3
  truncated,         // the file ends inside what it announces
  bad_count,         // a count larger than the rest of the file can hold
  bad_string,        // a length beyond the file or the limit
  bad_key,           // empty, too long, or holding NUL
  duplicate_key,     // one key twice
  bad_value_type,    // a value type that does not exist, or nested arrays
  bad_value,         // a value outside its type's range (bool 2)
  missing_key,       // a key that this use needs
  wrong_value_type,  // a key whose value has another type than this use needs
  bad_alignment,     // not a power of two in [1, limit]
  bad_tensor_name,   // empty, too long, or holding NUL
  duplicate_tensor,  // one name twice, within a file or across shards
  bad_dimensions,    // too many dimensions, a negative one, or a product that overflows
  removed_type,      // an id that mainline gave up
  bad_offset,        // misaligned, or data outside the file
  overlapping,       // two tensors that share bytes
  trailing_data,     // bytes after the last tensor that cannot be padding
  bad_shard,         // a missing, foreign, misnumbered or incomplete part of a split model
  // contents
  bad_data,        // blocks with NaN or infinite scales
  damaged,         // a digest that does not match
  bad_importance,  // an importance matrix that is negative, not finite, or of another shape
  bad_recipe,      // a recipe or rule that cannot be understood
};

// The spelling used in JSON output: the enumerator's own name.
std::string_view name(errc code) noexcept;

struct error_info {
  errc code = errc::invalid_argument;
  std::string message = {};                  // what went wrong, without the fields below
  std::string file = {};                     // path; empty when no file is involved
  std::string subject = {};                  // tensor name, key, option or argument
  std::optional<std::uint64_t> offset = {};  // bytes from the start of `file`
  std::string expected = {};                 // what would have been right
  std::string found = {};                    // what was there
  std::string advice = {};                   // what the user can do
};

class error : public std::runtime_error {
 public:
  explicit error(error_info info);
  const error_info& info() const noexcept { return info_; }
  errc code() const noexcept { return info_.code; }

 private:
  error_info info_;
};

// Text from a file made fit for a terminal or log: control characters, DEL and invalid UTF-8 become \xNN, at most
// `max_bytes` bytes are kept.
std::string printable(std::string_view text, std::size_t max_bytes = 128);

}  // namespace bq
