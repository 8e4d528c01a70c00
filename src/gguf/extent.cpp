// Byte ranges of tensors. Offsets may come in any order and leave gaps (the document allows it, ggml does not); ranges
// must be aligned, inside the file, and disjoint; empty tensors may lie anywhere. The padding after the last tensor may
// be missing.
#include "extent.hpp"

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

#include "src/checked.hpp"

namespace bq::gguf {

namespace {

constexpr const char* incomplete = "the file is incomplete: copy or download it again";

std::string shape_text(const tensor_shape& t) {
  std::string text = "[";
  for (std::uint32_t i = 0; i < t.n_dims; ++i) text += (i ? ", " : "") + std::to_string(t.ne[i]);
  return text + "]";
}

[[noreturn]] void fail_removed(const tensor_shape& t, const type_label& l, const std::string& file,
                               std::optional<std::uint64_t> at) {
  std::string advice = "quantise the original model again";
  if (t.type_id == 36) advice += "; a file of ik_llama.cpp, where this id is I2_S, needs that program";
  throw error({.code = errc::removed_type,
               .message = "the type was removed from GGUF",
               .file = file,
               .subject = t.name,
               .offset = at,
               .found = l.name + " (type id " + std::to_string(t.type_id) + ")",
               .advice = advice});
}

// Offsets that order the tensors of a file, and the end of what has been seen of them.
struct walk {
  const input_file& file;
  const shard& where;

  [[noreturn]] void fail(errc code, const tensor& t, std::string message, std::string expected, std::string found,
                         std::string advice = {}) const {
    throw error({.code = code,
                 .message = std::move(message),
                 .file = file.path(),
                 .subject = t.name,
                 .expected = std::move(expected),
                 .found = std::move(found),
                 .advice = std::move(advice)});
  }

  // The range [start, end) of a tensor in the file, or errc::bad_offset. `end_so_far` is the end of all tensors before
  // it: one that starts beyond the file is misplaced, unless the ones before it reach there too, and the file was cut.
  std::pair<std::uint64_t, std::uint64_t> range(const tensor& t, std::uint64_t end_so_far) const {
    if (t.offset % where.alignment != 0) {
      fail(errc::bad_offset, t, "the data is not aligned", "a multiple of " + std::to_string(where.alignment),
           "offset " + std::to_string(t.offset));
    }
    const checked start = checked(where.data_offset) + t.offset;
    const auto first = start.at_most(max_file_bytes), last = (start + t.bytes).at_most(max_file_bytes);
    const auto reach = checked(end_so_far).padded(where.alignment).at_most();
    if (!first || !last || (*first > file.size() && (!reach || *first > *reach))) {
      fail(errc::bad_offset, t, "the data lies outside the file",
           "an offset below " + std::to_string(file.size() - std::min(file.size(), where.data_offset)),
           "offset " + std::to_string(t.offset));
    }
    return {*first, *last};
  }
};

void check_end(const input_file& file, const shard& where, std::uint64_t end) {
  const auto padded = checked(end).padded(where.alignment).at_most();
  if (!padded || file.size() <= *padded) return;
  for (const std::uint64_t at : {end, *padded}) {
    std::array<std::byte, 4> magic{};
    if (file.size() - at < magic.size()) continue;
    file.read(at, magic);
    if (std::string_view(reinterpret_cast<const char*>(magic.data()), magic.size()) != "GGUF") continue;
    throw error({.code = errc::trailing_data,
                 .message = "another GGUF file follows: files were concatenated",
                 .file = file.path(),
                 .offset = at,
                 .advice = "the parts of a split model are not joined with cat: keep them apart, or use --merge"});
  }
  throw error({.code = errc::trailing_data,
               .message = "bytes follow the last tensor",
               .file = file.path(),
               .offset = *padded,
               .expected = "a file of " + std::to_string(*padded) + " bytes",
               .found = std::to_string(file.size())});
}

}  // namespace

std::optional<std::uint64_t> data_bytes(const tensor_shape& t, const std::string& file,
                                        std::optional<std::uint64_t> at) {
  const auto fail = [&](errc code, std::string message, std::string expected, std::string found) {
    throw error({.code = code,
                 .message = std::move(message),
                 .file = file,
                 .subject = t.name,
                 .offset = at,
                 .expected = std::move(expected),
                 .found = std::move(found)});
  };
  if (t.n_dims > t.ne.size()) {
    fail(errc::bad_dimensions, "too many dimensions", "at most 4", std::to_string(t.n_dims));
  }
  // Zeros are left out of the product: rows() must not overflow whatever cols is.
  checked elements = 1;
  bool empty = false;
  for (std::size_t i = 0; i < t.ne.size(); ++i) {
    if (t.ne[i] < 0) fail(errc::bad_dimensions, "a dimension is negative", "", shape_text(t));
    if (i >= t.n_dims && t.ne[i] != 1) {
      fail(errc::bad_dimensions, "a dimension beyond n_dims is not 1", std::to_string(t.n_dims) + " dimensions",
           std::to_string(t.ne[i]));
    }
    if (t.ne[i] == 0)
      empty = true;
    else
      elements = elements * static_cast<std::uint64_t>(t.ne[i]);
  }
  if (!elements.at_most(max_file_bytes)) {
    fail(errc::bad_dimensions, "the number of weights overflows", "less than 2^63", shape_text(t));
  }

  const type_label l = label(t.type_id);
  if (l.removed) fail_removed(t, l, file, at);
  const type_info* ours = find_type(static_cast<type>(t.type_id));
  if (ours && ours->activation_only) {
    fail(errc::unsupported_type, "the type holds activations and is never stored in files", "a weight type", l.name);
  }
  if (l.block_size == 0) return std::nullopt;
  if (t.cols() % l.block_size != 0) {
    fail(errc::bad_shape, "rows cannot be divided into blocks of " + l.name,
         "a multiple of " + std::to_string(l.block_size) + " columns", shape_text(t));
  }
  if (empty) return 0;
  const checked blocks = *elements.at_most() / l.block_size;
  const auto bytes = (blocks * l.block_bytes).at_most(max_file_bytes);
  if (!bytes)
    fail(errc::bad_dimensions, "the data's size overflows", "less than 2^63 bytes", shape_text(t) + " of " + l.name);
  return bytes;
}

void place_tensors(const input_file& file, const shard& where, std::uint64_t header_end, std::span<tensor> tensors,
                   const std::vector<bool>& bytes_known) {
  std::vector<std::uint32_t> order(tensors.size());
  std::iota(order.begin(), order.end(), 0u);
  std::ranges::sort(order, {}, [&](std::uint32_t i) { return std::pair(tensors[i].offset, i); });

  // From the back: a tensor of unknown size ends where the next higher offset, or the file, begins.
  const std::uint64_t data_size = file.size() - std::min(file.size(), where.data_offset);
  std::uint64_t higher = data_size, current = data_size;
  for (std::size_t k = order.size(); k-- > 0;) {
    tensor& t = tensors[order[k]];
    if (t.offset != current) higher = std::exchange(current, t.offset);
    if (!bytes_known[order[k]]) t.bytes = higher > t.offset ? higher - t.offset : 0;
  }

  const walk w{file, where};
  std::uint64_t end = header_end;
  const tensor *previous = nullptr, *first_cut = nullptr;
  for (const std::uint32_t i : order) {
    tensor& t = tensors[i];
    const auto [start, stop] = w.range(t, end);
    t.offset = start;
    if (t.bytes == 0 && !bytes_known[i] && t.elements() > 0) {
      w.fail(errc::truncated, t, "no data is left for this tensor", "", "", incomplete);
    }
    if (t.bytes == 0) continue;
    if (previous && start < end) {
      w.fail(errc::overlapping, t, "the data overlaps that of \"" + printable(previous->name) + "\"",
             "a start at or after byte " + std::to_string(end), std::to_string(start));
    }
    if (stop > file.size() && !first_cut) first_cut = &t;
    previous = &t;
    end = stop;
  }
  if (first_cut) {
    w.fail(errc::truncated, *first_cut,
           "the file ends " + std::to_string(end - file.size()) + " bytes too early; this is the first tensor cut",
           "a file of " + std::to_string(end) + " bytes", std::to_string(file.size()), incomplete);
  }
  check_end(file, where, end);
}

}  // namespace bq::gguf
