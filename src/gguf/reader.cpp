// Parsing one GGUF header. Layout (all numbers in the file's byte order, nothing aligned):
//   "GGUF" | u32 version | u64 tensors | u64 keys | keys x { string | u32 type | value } |
//   tensors x { string | u32 n_dims | u64 ne[n_dims] | u32 type | u64 offset } | padding | data
// where a string is u64 length and bytes, and an array value u32 element type, u64 count and packed elements.
// Counts are held against the bytes that are left before anything is allocated; duplicates are found by sorting.
#include "reader.hpp"

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

#include "encoder.hpp"
#include "extent.hpp"
#include "src/checked.hpp"
#include "value_types.hpp"

namespace bq::gguf {

namespace {

constexpr std::string_view alignment_key = "general.alignment";

// The least bytes that one entry takes: a name of one byte, and for tensors no dimensions.
constexpr std::uint64_t least_key_bytes = 8 + 1 + 4 + 1, least_tensor_bytes = 8 + 1 + 4 + 4 + 8;

// Memory follows what has been read, not what was announced.
constexpr std::uint64_t max_reserve = 1024;

// Indices that sort `items` by `name`, equal ones in their first order.
template <class Items, class Name>
std::vector<std::uint32_t> sorted_order(const Items& items, Name name) {
  std::vector<std::uint32_t> order(items.size());
  std::iota(order.begin(), order.end(), 0u);
  std::ranges::sort(order, [&](std::uint32_t a, std::uint32_t b) {
    const int c = std::string_view(name(items[a])).compare(name(items[b]));
    return c != 0 ? c < 0 : a < b;
  });
  return order;
}

// The first pair of equal neighbours in that order, as their indices.
template <class Items, class Name>
std::optional<std::pair<std::uint32_t, std::uint32_t>> twins(const Items& items,
                                                             const std::vector<std::uint32_t>& order, Name name) {
  const auto it = std::ranges::adjacent_find(
      order, [&](std::uint32_t a, std::uint32_t b) { return name(items[a]) == name(items[b]); });
  if (it == order.end()) return std::nullopt;
  return std::pair(*it, *std::next(it));
}

std::string pair_text(std::pair<std::uint32_t, std::uint32_t> p) {
  return "entries " + std::to_string(p.first) + " and " + std::to_string(p.second);
}

}  // namespace

reader::reader(const input_file& file, const limits& max) : file_(file), max_(max), in_(file, max.max_header_bytes) {}

file_header reader::read(const input_file& file, const limits& max) {
  reader r(file, max);
  r.out_.where.path = file.path();
  r.out_.where.file_bytes = file.size();
  r.read_magic();
  r.read_version();
  r.read_counts();
  r.read_metadata();
  r.read_alignment();
  r.read_tensors();
  return std::move(r.out_);
}

void reader::read_magic() {
  std::array<std::byte, 64> head{};
  const auto got = std::span(head).first(static_cast<std::size_t>(std::min<std::uint64_t>(head.size(), file_.size())));
  file_.read(0, got);
  const std::string_view magic(reinterpret_cast<const char*>(got.data()), std::min<std::size_t>(4, got.size()));
  if (magic != "GGUF" && std::string_view("GGUF").starts_with(magic)) {
    in_.fail({.code = errc::truncated,
              .message = got.empty() ? "the file is empty" : "the file ends within the magic",
              .offset = got.size(),
              .advice = "the file is incomplete: copy or download it again"});
  }
  if (magic != "GGUF") {
    in_.fail({.code = errc::not_gguf,
              .message = "this is not a GGUF file",
              .offset = 0,
              .expected = "the magic GGUF",
              .found = looks_like(got)});
  }
  in_.skip(magic.size(), "the magic");
}

// There is no byte order mark: the version, a small number, tells. Versions that exist decide; else the order that
// makes it small.
void reader::read_version() {
  const std::uint64_t at = in_.position();
  const auto little = in_.number<std::uint32_t>("the version");
  const std::uint32_t big = __builtin_bswap32(little);
  const auto known = [](std::uint32_t v) { return v == 2 || v == 3; };
  in_.big_endian = !known(little) && known(big);
  const std::uint32_t version = in_.big_endian ? big : little;
  if (!known(version)) {
    const std::uint32_t smaller = std::min(little, big);
    const bool plausible = smaller <= 0xffff;
    in_.fail(
        {.code = plausible ? errc::bad_version : errc::bad_byte_order,
         .message = plausible ? "this GGUF version is not supported" : "the version makes sense in neither byte order",
         .offset = at,
         .expected = "version 2 or 3",
         .found = std::to_string(plausible ? smaller : little),
         .advice = smaller == 1 ? "version 1 was in use for a week of 2023: convert the original model again" : ""});
  }
  out_.where.version = version;
  out_.where.big_endian = in_.big_endian;
}

void reader::read_counts() {
  const std::uint64_t at = in_.position();
  tensor_count_ = in_.number<std::uint64_t>("the number of tensors");
  key_count_ = in_.number<std::uint64_t>("the number of keys");
  const checked least = checked(tensor_count_) * least_tensor_bytes + checked(key_count_) * least_key_bytes;
  constexpr std::uint64_t max_entries = std::numeric_limits<std::uint32_t>::max();
  if (!least.at_most(in_.remaining()) || std::max(tensor_count_, key_count_) > max_entries) {
    in_.fail({.code = errc::bad_count,
              .message = "more tensors or keys are announced than the file can hold",
              .offset = at,
              .expected = "no more than fit in " + std::to_string(in_.remaining()) + " bytes",
              .found = std::to_string(tensor_count_) + " tensors and " + std::to_string(key_count_) + " keys",
              .advice = "the file is damaged or incomplete: copy or download it again"});
  }
}

// A key or a tensor's name: `code` when it is empty, too long, or holds a zero byte.
std::string reader::read_name(std::uint64_t max_bytes, errc code) {
  const std::uint64_t at = in_.position();
  const std::uint64_t length = in_.string_length(max_.max_string_bytes, "a name");
  std::string text(static_cast<std::size_t>(length <= max_bytes ? length : 0), '\0');
  in_.copy(std::as_writable_bytes(std::span(text)), "a name");
  if (text.empty() || text.find('\0') != std::string::npos) {
    in_.fail({.code = code,
              .message = "the name is malformed",
              .offset = at,
              .expected = "1 to " + std::to_string(max_bytes) + " bytes, none of them zero",
              .found = std::to_string(length) + " bytes"});
  }
  return text;
}

void reader::read_metadata() {
  auto& entries = out_.metadata.entries_;
  entries.reserve(static_cast<std::size_t>(std::min(key_count_, max_reserve)));
  for (std::uint64_t i = 0; i < key_count_; ++i) {
    in_.subject = "key " + std::to_string(i);
    std::string key = read_name(max_.max_key_bytes, errc::bad_key);
    in_.subject = key;
    value v = read_value();
    entries.push_back({std::move(key), std::move(v)});
  }
  const auto key_of = [](const metadata::entry& e) -> const std::string& { return e.key; };
  out_.metadata.order_ = sorted_order(entries, key_of);
  if (const auto pair = twins(entries, out_.metadata.order_, key_of)) {
    in_.fail({.code = errc::duplicate_key,
              .message = "the key occurs twice",
              .subject = entries[pair->first].key,
              .found = pair_text(*pair)});
  }
}

value_type reader::read_value_type(std::string_view what) {
  const std::uint64_t at = in_.position();
  const auto id = in_.number<std::uint32_t>(what);
  if (id >= value_types.size()) {
    in_.fail({.code = errc::bad_value_type,
              .message = "there is no such value type",
              .offset = at,
              .expected = "0 to " + std::to_string(value_types.size() - 1),
              .found = std::to_string(id)});
  }
  return static_cast<value_type>(id);
}

value reader::read_value() {
  value v;
  v.type_ = v.element_ = read_value_type("a value type");
  if (v.type_ != value_type::array) {
    v.bytes_.clear();
    if (v.type_ == value_type::string)
      read_strings(v, 1);
    else
      read_numbers(v, 1);
    v.starts_.clear();
    return v;
  }

  const std::uint64_t at = in_.position();
  v.element_ = read_value_type("an element type");
  if (v.element_ == value_type::array) {
    in_.fail({.code = errc::bad_value_type,
              .message = "arrays of arrays are not supported",
              .offset = at,
              .expected = "an array of numbers, bools or strings"});
  }
  const std::uint64_t count_at = in_.position();
  const auto count = in_.number<std::uint64_t>("an array's length");
  const std::uint64_t least = v.element_ == value_type::string ? sizeof(std::uint64_t) : value_bytes(v.element_);
  if (!(checked(count) * least).at_most(in_.remaining())) {
    in_.fail({.code = errc::bad_count,
              .message = "an array is longer than the rest of the file",
              .offset = count_at,
              .expected = "at most " + std::to_string(in_.remaining() / least) + " elements",
              .found = std::to_string(count),
              .advice = "the file is damaged or incomplete: copy or download it again"});
  }
  encoder prefix;
  prefix.number(static_cast<std::uint32_t>(v.element_));
  prefix.number(count);
  v.bytes_ = std::move(prefix.bytes);
  if (v.element_ == value_type::string)
    read_strings(v, count);
  else
    read_numbers(v, count);
  return v;
}

// Appends `count` numbers to the encoding. The caller has held the count of an array against the file.
void reader::read_numbers(value& v, std::uint64_t count) {
  const std::uint32_t unit = value_bytes(v.element_);
  const std::uint64_t start = in_.position();
  const std::size_t prefix = v.bytes_.size();
  v.bytes_.resize(prefix + static_cast<std::size_t>(*(checked(count) * unit).at_most()));
  const auto data = std::span(v.bytes_).subspan(prefix);
  in_.copy(data, "a value");
  if (in_.big_endian) swap_units(data, unit);
  if (v.element_ != value_type::boolean) return;
  const auto bad = std::ranges::find_if(data, [](std::byte b) { return b > std::byte{1}; });
  if (bad == data.end()) return;
  in_.fail({.code = errc::bad_value,
            .message = "a bool is neither 0 nor 1",
            .offset = start + static_cast<std::uint64_t>(bad - data.begin()),
            .found = std::to_string(std::to_integer<int>(*bad))});
}

// Appends `count` strings to the encoding. A first pass over the lengths finds how much memory they take.
void reader::read_strings(value& v, std::uint64_t count) {
  const std::uint64_t start = in_.position();
  const std::size_t prefix = v.bytes_.size();
  v.starts_.reserve(static_cast<std::size_t>(count));
  for (std::uint64_t i = 0; i < count; ++i) {
    v.starts_.push_back(prefix + (in_.position() - start));
    in_.skip(in_.string_length(max_.max_string_bytes, "a string"), "a string");
  }
  v.bytes_.resize(prefix + static_cast<std::size_t>(in_.position() - start));
  const auto data = std::span(v.bytes_).subspan(prefix);
  in_.seek(start);
  in_.copy(data, "a string");
  if (!in_.big_endian) return;
  for (const std::uint64_t at : v.starts_)
    swap_units(std::span(v.bytes_).subspan(at, sizeof(std::uint64_t)), sizeof(std::uint64_t));
}

// Written as u32; any integer is accepted.
void reader::read_alignment() {
  const value* v = out_.metadata.find(alignment_key);
  if (!v) return;
  in_.subject = alignment_key;
  const auto positive = v->as_uint();
  if (v->type() == value_type::array || !(positive || v->as_int())) {
    in_.fail({.code = errc::wrong_value_type,
              .message = "the alignment is not an integer",
              .expected = "u32",
              .found = std::string(name(v->type()))});
  }
  const std::uint64_t alignment = positive.value_or(0);
  if (!std::has_single_bit(alignment) || alignment > max_.max_alignment) {
    in_.fail({.code = errc::bad_alignment,
              .message = "the alignment cannot be used",
              .expected = "a power of two from 1 to " + std::to_string(max_.max_alignment),
              .found = positive ? std::to_string(alignment) : std::to_string(*v->as_int())});
  }
  out_.where.alignment = alignment;
}

tensor reader::read_tensor(std::size_t index, bool& bytes_known) {
  in_.subject = "tensor " + std::to_string(index);
  tensor t;
  t.name = read_name(max_.max_name_bytes, errc::bad_tensor_name);
  in_.subject = t.name;
  const std::uint64_t shape_at = in_.position();
  t.n_dims = in_.number<std::uint32_t>("the number of dimensions");
  for (std::size_t i = 0; i < std::min<std::size_t>(t.n_dims, t.ne.size()); ++i) {
    t.ne[i] = in_.number<std::int64_t>("a dimension");
  }
  t.type_id = in_.number<std::uint32_t>("a tensor's type");
  const auto bytes = data_bytes(t, file_.path(), shape_at);
  bytes_known = bytes.has_value();
  t.bytes = bytes.value_or(0);
  t.offset = in_.number<std::uint64_t>("a tensor's offset");
  return t;
}

void reader::read_tensors() {
  auto& tensors = out_.tensors;
  tensors.reserve(static_cast<std::size_t>(std::min(tensor_count_, max_reserve)));
  std::vector<bool> bytes_known;
  for (std::uint64_t i = 0; i < tensor_count_; ++i) {
    bool known = false;
    tensors.push_back(read_tensor(static_cast<std::size_t>(i), known));
    bytes_known.push_back(known);
  }
  const auto name_of = [](const tensor& t) -> const std::string& { return t.name; };
  if (const auto pair = twins(tensors, sorted_order(tensors, name_of), name_of)) {
    in_.fail({.code = errc::duplicate_tensor,
              .message = "the tensor occurs twice",
              .subject = tensors[pair->first].name,
              .found = pair_text(*pair)});
  }
  const std::uint64_t header_end = in_.position();
  out_.where.data_offset = *checked(header_end).padded(out_.where.alignment).at_most();
  place_tensors(file_, out_.where, header_end, tensors, bytes_known);
}

}  // namespace bq::gguf
