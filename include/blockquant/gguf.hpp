// GGUF files: one logical model over one or more files, read safely and written atomically.
//
// Files are hostile by contract: whatever the bytes are, opening ends in a bq::error or in a model whose every tensor
// lies inside its file; memory is bounded by a small multiple of the header's size, time is linear in it (sorting
// aside), and nothing aborts. Reads GGUF 2 and 3 in either byte order; everything handed out is little endian. Format:
// ggml's docs/gguf.md; where that document and ggml's code disagree both spellings are read, and the stricter one is
// written.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "error.hpp"
#include "types.hpp"

namespace bq::gguf {

enum class value_type : std::uint32_t {
  u8 = 0,
  i8 = 1,
  u16 = 2,
  i16 = 3,
  u32 = 4,
  i32 = 5,
  f32 = 6,
  boolean = 7,
  string = 8,
  array = 9,
  u64 = 10,
  i64 = 11,
  f64 = 12,
};
std::string_view name(value_type t) noexcept;  // "u8", "bool", "str", "arr" ...

// One metadata value: a scalar, a string, or an array of scalars or strings. Holds the bytes of its GGUF encoding.
class value {
 public:
  static value of_u8(std::uint8_t), of_i8(std::int8_t), of_u16(std::uint16_t), of_i16(std::int16_t),
      of_u32(std::uint32_t), of_i32(std::int32_t), of_u64(std::uint64_t), of_i64(std::int64_t), of_f32(float),
      of_f64(double), of_bool(bool);
  static value of_string(std::string_view);
  static value of_strings(std::span<const std::string> items);
  static value of_u64s(std::span<const std::uint64_t> items);
  static value of_i32s(std::span<const std::int32_t> items);
  static value of_f32s(std::span<const float> items);

  value_type type() const noexcept;          // `array` for arrays
  value_type element_type() const noexcept;  // of an array; type() otherwise
  std::size_t size() const noexcept;         // elements of an array; 1 otherwise

  // Element i (0 for scalars), converted when the value fits: any integer type to int64/uint64, integers and floats to
  // double. Empty when the type differs or the value does not fit. Views live as long as the value.
  std::optional<std::int64_t> as_int(std::size_t i = 0) const noexcept;
  std::optional<std::uint64_t> as_uint(std::size_t i = 0) const noexcept;
  std::optional<double> as_float(std::size_t i = 0) const noexcept;
  std::optional<bool> as_bool(std::size_t i = 0) const noexcept;
  std::optional<std::string_view> as_string(std::size_t i = 0) const noexcept;

  // The value as it stands in a little-endian file, after the key and the value type.
  std::span<const std::byte> encoding() const noexcept;

 private:
  friend class reader;
  template <class T>
  static value scalar(value_type type, T x);
  template <class T>
  static value numbers(value_type element, std::span<const T> items);
  const std::byte* element(std::size_t i) const noexcept;  // null beyond the end

  value_type type_ = value_type::u8, element_ = value_type::u8;
  std::vector<std::byte> bytes_ = std::vector<std::byte>(1);  // the encoding; a new value is u8 0
  std::vector<std::uint64_t> starts_;                         // of the strings of an array, in bytes_
};

// Key-value pairs in file order. Lookups are logarithmic.
class metadata {
 public:
  struct entry {
    std::string key;
    gguf::value value;
  };
  std::span<const entry> entries() const noexcept;
  const gguf::value* find(std::string_view key) const noexcept;
  void set(std::string_view key, gguf::value v);  // replaces, or appends
  bool erase(std::string_view key);
  // As find, and the value converted; throws errc::missing_key, errc::wrong_value_type naming the key.
  std::uint64_t require_uint(std::string_view key) const;
  std::string_view require_string(std::string_view key) const;
  double require_float(std::string_view key) const;

 private:
  friend class reader;
  std::vector<entry> entries_;
  std::vector<std::uint32_t> order_;  // indices sorted by key
};

// What a tensor is, apart from where its bytes are. Shapes are GGUF's: ne[0] is the fastest dimension (cols).
struct tensor_shape {
  std::string name;
  std::uint32_t type_id = 0;  // as in the file: possibly a type this library cannot compute with
  std::uint32_t n_dims = 1;
  std::array<std::int64_t, 4> ne{1, 1, 1, 1};
  std::uint64_t bytes = 0;  // of data, without padding

  std::int64_t cols() const noexcept { return ne[0]; }
  std::int64_t rows() const noexcept { return ne[1] * ne[2] * ne[3]; }  // the reader has checked the product
  std::int64_t elements() const noexcept { return cols() * rows(); }
};

struct tensor : tensor_shape {
  std::uint32_t shard = 0;
  std::uint64_t offset = 0;  // bytes from the start of its file
};

// How a type id is called, and whose it is. For ids of forks and removed ids as well.
struct type_label {
  std::string name;                               // "q4_K", "IQ2_K", "Q4_2", "type 4711"
  std::string owner;                              // "ggml", the fork's name, or empty when nobody is known
  std::uint32_t block_size = 0, block_bytes = 0;  // 0 when unknown: sizes then come from the offsets
  bool removed = false;
};
type_label label(std::uint32_t type_id);

struct limits {
  std::uint64_t max_alignment = 1u << 16;  // bytes
  std::uint64_t max_key_bytes = 65535;
  std::uint64_t max_name_bytes = 64;
  std::uint64_t max_string_bytes = 1u << 30;
  std::uint64_t max_header_bytes = 1u << 30;  // of one file, up to its last tensor info
};

struct open_options {
  gguf::limits limits = {};
  // Open the other parts of a split model too, and leave the split.* keys out of the metadata. False: this file alone,
  // with all its keys.
  bool follow_shards = true;
};

struct shard {
  std::string path;
  std::uint32_t version = 3;
  bool big_endian = false;
  std::uint64_t alignment = 32;   // bytes
  std::uint64_t data_offset = 0;  // bytes
  std::uint64_t file_bytes = 0;
};

// A model open for reading. Cheap to move. Reading is thread safe.
class model {
 public:
  // Any part of a split model may be named. Throws the structural codes of errc, naming file, key or tensor, and
  // offset.
  static model open(const std::string& path, const open_options& options = {});
  model(model&&) noexcept;
  model& operator=(model&&) noexcept;
  ~model();

  const gguf::metadata& metadata() const noexcept;   // of the first part, without its split.* keys
  std::span<const tensor> tensors() const noexcept;  // of all parts, in file order
  const tensor* find(std::string_view name) const noexcept;
  std::span<const shard> shards() const noexcept;

  // Copies bytes [offset, offset + out.size()) of a tensor's data; numbers in blocks are little endian whatever the
  // file's order. In big-endian files both must be multiples of the block (errc::invalid_argument). Throws errc::io,
  // errc::file_changed, errc::out_of_range, errc::unsupported_type (byte order of a type whose blocks are not known).
  void read(const tensor& t, std::uint64_t offset, std::span<std::byte> out) const;

  // The tensor's bytes mapped into memory, for little-endian files; valid as long as the model. A file that shrinks
  // while mapped kills the process: use read() for files that others may write. Throws errc::io,
  // errc::unsupported_type.
  std::span<const std::byte> map(const tensor& t) const;

 private:
  struct state;
  explicit model(std::unique_ptr<state>);
  std::unique_ptr<state> state_;
};

struct write_options {
  std::uint64_t max_shard_bytes = 0;    // of a part's file, unless one tensor is larger; 0: no limit
  std::uint64_t max_shard_tensors = 0;  // 0: no limit
  bool empty_first_shard = false;       // the first part holds metadata only
  std::vector<std::uint32_t> shard_of;  // explicit part per tensor (to keep a split); overrides the limits
  bool overwrite = true;                // replace existing files; false: errc::file_exists
};

// Writes GGUF 3, little endian. The layout is fixed at construction; data may then come in any order and from any
// thread. Nothing exists under the final names before commit(), and nothing remains if the writer is destroyed or the
// process dies before.
class writer {
 public:
  // `path` is the file, or PREFIX for a split model (PREFIX-00001-of-00003.gguf ...): with any option that splits, even
  // when one part is enough. Alignment is metadata's general.alignment, else 32; split.* keys are the writer's own, and
  // dropped from `meta`. A tensor's `bytes` may be 0 when its type's block size is known, and is its size otherwise.
  // Checks keys, names, shapes and free disk space before anything is written. Throws errc::disk_full,
  // errc::file_exists, errc::not_a_file, errc::io, errc::bad_key, errc::bad_alignment, errc::bad_tensor_name (ggml's
  // limit: 63 bytes), errc::duplicate_tensor, errc::bad_dimensions, errc::bad_shape, errc::removed_type,
  // errc::unsupported_type, errc::out_of_range.
  writer(const std::string& path, metadata meta, std::vector<tensor_shape> tensors, const write_options& options = {});
  ~writer();
  writer(const writer&) = delete;
  writer& operator=(const writer&) = delete;

  std::span<const std::string> paths() const noexcept;  // final names
  std::uint64_t total_bytes() const noexcept;           // of all files

  // Data of tensor i at byte `offset` of it. Thread safe for distinct ranges. Throws errc::out_of_range, errc::io,
  // errc::disk_full.
  void write(std::size_t i, std::uint64_t offset, std::span<const std::byte> data);
  // Replaces a metadata value by another one of the same type and encoded size (digests known only at the end). Throws
  // errc::missing_key, errc::wrong_value_type, errc::io.
  void patch(std::string_view key, const value& v);
  // Flushes, and moves the files to their final names. Throws errc::io when a tensor has not been written in full.
  void commit();

 private:
  struct state;
  std::unique_ptr<state> state_;
};

// The name of part `no` (from 0) of `count`: PREFIX-00001-of-00003.gguf.
std::string shard_path(std::string_view prefix, std::uint32_t no, std::uint32_t count);
// The prefix when `path` follows that pattern.
std::optional<std::string> shard_prefix(std::string_view path);

}  // namespace bq::gguf
