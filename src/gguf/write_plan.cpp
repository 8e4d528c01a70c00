// Layout of the files of a writer. ggml reads only the strictest spelling, so that is what is written: the data of
// tensors in the order of their infos, packed, each one padded to the alignment, the last one too; general.alignment as
// u32. All metadata goes to the first part. Every part of a split model has split.no (u16), split.count (u16) and
// split.tensors.count (i32), and the alignment when it is not 32.
#include "write_plan.hpp"

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

#include "encoder.hpp"
#include "extent.hpp"
#include "shards.hpp"
#include "src/checked.hpp"

namespace bq::gguf {

namespace {

constexpr std::string_view magic = "GGUF";
constexpr std::uint32_t version = 3;
constexpr std::uint64_t prefix_bytes = 4 + 4 + 8 + 8;  // magic, version, two counts
constexpr std::uint64_t default_alignment = 32;        // bytes
constexpr std::size_t max_parts = 65535;               // split.count is a u16
constexpr std::size_t max_name_bytes = 63;             // ggml keeps names in 64 bytes with a terminator

// Bytes of a string, a key with its value, and a tensor info in a header.
checked string_bytes(std::string_view text) { return checked(sizeof(std::uint64_t)) + text.size(); }
checked entry_bytes(const metadata::entry& e) {
  return string_bytes(e.key) + sizeof(std::uint32_t) + e.value.encoding().size();
}
checked info_bytes(const tensor_shape& t) {
  return string_bytes(t.name) + sizeof(std::uint32_t) + checked(t.n_dims) * sizeof(std::int64_t) +
         sizeof(std::uint32_t) + sizeof(std::uint64_t);
}

checked metadata_bytes(const metadata& m) {
  checked bytes = prefix_bytes;
  for (const metadata::entry& e : m.entries()) bytes = bytes + entry_bytes(e);
  return bytes;
}

void check_keys(const metadata& m) {
  for (const metadata::entry& e : m.entries()) {
    const std::uint64_t max = limits{}.max_key_bytes;
    if (!e.key.empty() && e.key.size() <= max && e.key.find('\0') == std::string::npos) continue;
    throw error({.code = errc::bad_key,
                 .message = "the key cannot be written",
                 .subject = printable(e.key),
                 .expected = "1 to " + std::to_string(max) + " bytes, none of them zero",
                 .found = std::to_string(e.key.size()) + " bytes"});
  }
}

std::uint64_t take_alignment(metadata& m) {
  constexpr std::string_view key = "general.alignment";
  if (!m.find(key)) return default_alignment;
  const std::uint64_t alignment = m.require_uint(key);
  if (!std::has_single_bit(alignment) || alignment > limits{}.max_alignment) {
    throw error({.code = errc::bad_alignment,
                 .message = "the alignment cannot be used",
                 .subject = std::string(key),
                 .expected = "a power of two from 1 to " + std::to_string(limits{}.max_alignment),
                 .found = std::to_string(alignment)});
  }
  m.set(key, value::of_u32(static_cast<std::uint32_t>(alignment)));
  return alignment;
}

// Names, and shapes by the same rules as in files that are read. Sizes of known types are computed, and must agree with
// `bytes` where the caller gives it.
planned_tensor check_tensor(tensor_shape t) {
  if (t.name.empty() || t.name.size() > max_name_bytes || t.name.find('\0') != std::string::npos) {
    throw error({.code = errc::bad_tensor_name,
                 .message = "the tensor's name cannot be written",
                 .subject = t.name,
                 .expected = "1 to " + std::to_string(max_name_bytes) + " bytes, none of them zero",
                 .found = std::to_string(t.name.size()) + " bytes"});
  }
  const auto bytes = data_bytes(t, "", {});
  if (bytes && t.bytes != 0 && t.bytes != *bytes) {
    throw error({.code = errc::bad_shape,
                 .message = "the size does not fit the shape",
                 .subject = t.name,
                 .expected = std::to_string(*bytes) + " bytes",
                 .found = std::to_string(t.bytes)});
  }
  planned_tensor out{std::move(t)};
  if (bytes) out.bytes = *bytes;
  out.n_dims = std::max(out.n_dims, 1u);  // a scalar, which older readers do not know, as [1]
  return out;
}

void check_duplicates(const std::vector<planned_tensor>& tensors) {
  std::vector<std::string_view> names;
  names.reserve(tensors.size());
  for (const planned_tensor& t : tensors) names.push_back(t.name);
  std::ranges::sort(names);
  const auto it = std::ranges::adjacent_find(names);
  if (it == names.end()) return;
  throw error({.code = errc::duplicate_tensor, .message = "the tensor occurs twice", .subject = std::string(*it)});
}

[[noreturn]] void fail_size(const std::string& path) {
  throw error({.code = errc::out_of_range, .message = "the file would exceed 2^63 bytes", .file = path});
}

// Sizes of the part that is being filled, while tensors are handed out in order.
class filling {
 public:
  filling(checked first_header, checked other_header, const write_plan& plan, const write_options& options)
      : header_(first_header), other_header_(other_header), plan_(plan), options_(options) {}

  // The part of the next tensor.
  std::uint32_t place(const planned_tensor& t) {
    const checked padded = checked(t.bytes).padded(plan_.alignment);
    if (must_close(t, padded)) {
      ++part_;
      header_ = other_header_;
      data_ = 0;
      tensors_ = 0;
    }
    header_ = header_ + info_bytes(t);
    data_ = data_ + padded;
    ++tensors_;
    return part_;
  }

 private:
  bool fits(checked header, checked data) const {
    return options_.max_shard_bytes == 0 ||
           (header.padded(plan_.alignment) + data).at_most(options_.max_shard_bytes).has_value();
  }

  bool must_close(const planned_tensor& t, checked padded) const {
    if (part_ == 0 && tensors_ == 0) {
      // Large metadata may leave no room for the first tensor, which is no reason to exceed the limit.
      return options_.empty_first_shard ||
             (!fits(header_ + info_bytes(t), padded) && fits(other_header_ + info_bytes(t), padded));
    }
    if (tensors_ == 0) return false;
    return (options_.max_shard_tensors != 0 && tensors_ >= options_.max_shard_tensors) ||
           !fits(header_ + info_bytes(t), data_ + padded);
  }

  checked header_, data_ = 0;
  checked other_header_;
  const write_plan& plan_;
  const write_options& options_;
  std::uint32_t part_ = 0;
  std::uint64_t tensors_ = 0;
};

// The metadata of parts after the first.
metadata later_metadata(const write_plan& plan) {
  metadata m;
  if (plan.alignment != default_alignment) {
    m.set("general.alignment", value::of_u32(static_cast<std::uint32_t>(plan.alignment)));
  }
  return m;
}

void set_split_keys(metadata& m, std::size_t no, std::size_t count, std::size_t tensors) {
  m.set(split_no_key, value::of_u16(static_cast<std::uint16_t>(no)));
  m.set(split_count_key, value::of_u16(static_cast<std::uint16_t>(count)));
  m.set(split_tensors_key, value::of_i32(static_cast<std::int32_t>(tensors)));
}

void divide(write_plan& plan, const metadata& first, const write_options& options) {
  if (!options.shard_of.empty()) {
    if (options.shard_of.size() != plan.tensors.size()) {
      throw error({.code = errc::invalid_argument,
                   .message = "a part must be given for every tensor",
                   .subject = "shard_of",
                   .expected = std::to_string(plan.tensors.size()),
                   .found = std::to_string(options.shard_of.size())});
    }
    for (std::size_t i = 0; i < plan.tensors.size(); ++i) plan.tensors[i].part = options.shard_of[i];
    return;
  }
  metadata model = first, later = later_metadata(plan);
  set_split_keys(model, 0, 0, 0);
  set_split_keys(later, 0, 0, 0);
  filling f(metadata_bytes(model), metadata_bytes(later), plan, options);
  for (planned_tensor& t : plan.tensors) t.part = f.place(t);
}

// Offsets and sizes, once every tensor has its part.
void lay_out(write_plan& plan) {
  for (std::uint32_t i = 0; i < plan.tensors.size(); ++i) plan.parts[plan.tensors[i].part].tensors.push_back(i);
  checked total = 0;
  for (planned_part& p : plan.parts) {
    checked header = metadata_bytes(p.metadata), data = 0;
    for (const std::uint32_t i : p.tensors) {
      planned_tensor& t = plan.tensors[i];
      const auto offset = data.at_most(max_file_bytes);
      if (!offset) fail_size(p.path);
      t.offset = *offset;
      header = header + info_bytes(t);
      data = data + checked(t.bytes).padded(plan.alignment);
    }
    const auto start = header.padded(plan.alignment).at_most(max_file_bytes);
    const auto end = (header.padded(plan.alignment) + data).at_most(max_file_bytes);
    if (!start || !end) fail_size(p.path);
    p.data_offset = *start;
    p.file_bytes = *end;
    total = total + *end;
  }
  const auto sum = total.at_most(max_file_bytes);
  if (!sum) fail_size(plan.parts.front().path);
  plan.total_bytes = *sum;
}

}  // namespace

write_plan plan_files(const std::string& path, gguf::metadata meta, std::vector<tensor_shape> tensors,
                      const write_options& options) {
  for (const std::string_view key : {split_no_key, split_count_key, split_tensors_key}) meta.erase(key);
  check_keys(meta);
  write_plan plan;
  plan.alignment = take_alignment(meta);
  plan.tensors.reserve(tensors.size());
  for (tensor_shape& t : tensors) plan.tensors.push_back(check_tensor(std::move(t)));
  check_duplicates(plan.tensors);

  const bool split = options.max_shard_bytes != 0 || options.max_shard_tensors != 0 || options.empty_first_shard ||
                     !options.shard_of.empty();
  if (split) divide(plan, meta, options);
  std::size_t count = 1;
  for (const planned_tensor& t : plan.tensors) count = std::max<std::size_t>(count, std::size_t{t.part} + 1);
  if (count > max_parts || (split && plan.tensors.size() > std::numeric_limits<std::int32_t>::max())) {
    throw error({.code = errc::out_of_range,
                 .message = "the model cannot be split like this",
                 .file = path,
                 .expected = "at most " + std::to_string(max_parts) + " parts and 2^31 tensors",
                 .found = std::to_string(count) + " parts, " + std::to_string(plan.tensors.size()) + " tensors"});
  }
  plan.parts.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    planned_part& p = plan.parts[i];
    p.path = split ? shard_path(path, static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(count)) : path;
    p.metadata = i == 0 ? std::move(meta) : later_metadata(plan);
    if (split) set_split_keys(p.metadata, i, count, plan.tensors.size());
  }
  lay_out(plan);
  return plan;
}

std::vector<std::byte> encode_header(const write_plan& plan, const planned_part& part) {
  encoder out;
  out.bytes.reserve(static_cast<std::size_t>(part.data_offset));
  out.raw(std::as_bytes(std::span(magic)));
  out.number(version);
  out.number(static_cast<std::uint64_t>(part.tensors.size()));
  out.number(static_cast<std::uint64_t>(part.metadata.entries().size()));
  for (const metadata::entry& e : part.metadata.entries()) {
    out.string(e.key);
    out.number(static_cast<std::uint32_t>(e.value.type()));
    out.raw(e.value.encoding());
  }
  for (const std::uint32_t i : part.tensors) {
    const planned_tensor& t = plan.tensors[i];
    out.string(t.name);
    out.number(t.n_dims);
    for (std::uint32_t d = 0; d < t.n_dims; ++d) out.number(t.ne[d]);
    out.number(t.type_id);
    out.number(t.offset);
  }
  out.bytes.resize(static_cast<std::size_t>(part.data_offset));
  return std::move(out.bytes);
}

std::uint64_t value_offset(const planned_part& part, std::string_view key) {
  checked at = prefix_bytes;
  for (const metadata::entry& e : part.metadata.entries()) {
    if (e.key == key) return *(at + string_bytes(e.key) + sizeof(std::uint32_t)).at_most();
    at = at + entry_bytes(e);
  }
  throw error({.code = errc::missing_key,
               .message = "the metadata lacks this key",
               .file = part.path,
               .subject = std::string(key)});
}

}  // namespace bq::gguf
