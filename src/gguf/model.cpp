// A model over its files: tensors of all parts, looked up by name, read with bounds checked once more at every call.
#include <algorithm>
#include <mutex>
#include <numeric>
#include <utility>

#include "blockquant/gguf.hpp"
#include "byte_order.hpp"
#include "shards.hpp"
#include "src/checked.hpp"

namespace bq::gguf {

struct model::state {
  std::vector<input_file> files;
  std::vector<shard> shards;
  gguf::metadata metadata;
  std::vector<tensor> tensors;
  std::vector<std::uint32_t> order;  // indices sorted by name
  std::mutex mapping;

  void add(part p);
  void sort_names();
  // The file of `t`, after checking that `bytes` at `offset` of it lie inside.
  const input_file& file_of(const tensor& t, std::uint64_t offset, std::uint64_t bytes) const;
};

void model::state::add(part p) {
  const auto index = static_cast<std::uint32_t>(files.size());
  for (tensor& t : p.header.tensors) {
    t.shard = index;
    tensors.push_back(std::move(t));
  }
  if (index == 0) metadata = std::move(p.header.metadata);
  shards.push_back(std::move(p.header.where));
  files.push_back(std::move(p.file));
}

void model::state::sort_names() {
  order.resize(tensors.size());
  std::iota(order.begin(), order.end(), 0u);
  const auto name_of = [&](std::uint32_t i) -> const std::string& { return tensors[i].name; };
  std::ranges::sort(order, {}, name_of);
  const auto it = std::ranges::adjacent_find(order, {}, name_of);
  if (it == order.end()) return;
  const tensor &a = tensors[*it], &b = tensors[*std::next(it)];
  throw error({.code = errc::duplicate_tensor,
               .message = "the tensor occurs in two parts",
               .file = shards[b.shard].path,
               .subject = b.name,
               .found = "the same name in " + shards[a.shard].path});
}

const input_file& model::state::file_of(const tensor& t, std::uint64_t offset, std::uint64_t bytes) const {
  const auto stop = (checked(offset) + bytes).at_most(t.bytes);
  const auto inside =
      t.shard < shards.size() && (bytes == 0 || (checked(t.offset) + t.bytes).at_most(shards[t.shard].file_bytes));
  if (!stop || !inside) {
    throw error({.code = errc::out_of_range,
                 .message = "the range lies outside the tensor",
                 .file = t.shard < shards.size() ? shards[t.shard].path : "",
                 .subject = t.name,
                 .expected = "at most " + std::to_string(t.bytes) + " bytes",
                 .found = std::to_string(bytes) + " bytes at " + std::to_string(offset)});
  }
  return files[t.shard];
}

model::model(std::unique_ptr<state> s) : state_(std::move(s)) {}
model::model(model&&) noexcept = default;
model& model::operator=(model&&) noexcept = default;
model::~model() = default;

model model::open(const std::string& path, const open_options& options) {
  auto s = std::make_unique<state>();
  part named = open_part(path, options.limits);
  if (options.follow_shards) {
    for (part& p : open_all_parts(std::move(named), options.limits)) s->add(std::move(p));
  } else {
    s->add(std::move(named));
  }
  s->sort_names();
  return model(std::move(s));
}

const gguf::metadata& model::metadata() const noexcept { return state_->metadata; }
std::span<const tensor> model::tensors() const noexcept { return state_->tensors; }
std::span<const shard> model::shards() const noexcept { return state_->shards; }

const tensor* model::find(std::string_view name) const noexcept {
  const auto& s = *state_;
  const auto it = std::ranges::lower_bound(s.order, name, std::ranges::less{},
                                           [&](std::uint32_t i) -> std::string_view { return s.tensors[i].name; });
  return it != s.order.end() && s.tensors[*it].name == name ? &s.tensors[*it] : nullptr;
}

void model::read(const tensor& t, std::uint64_t offset, std::span<std::byte> out) const {
  const input_file& file = state_->file_of(t, offset, out.size());
  if (out.empty()) return;
  const bool swap = state_->shards[t.shard].big_endian;
  if (swap) {
    const type_label l = label(t.type_id);
    if (l.block_bytes != 0 && (offset % l.block_bytes != 0 || out.size() % l.block_bytes != 0)) {
      throw error({.code = errc::invalid_argument,
                   .message = "a big-endian file is read by whole blocks",
                   .file = file.path(),
                   .subject = t.name,
                   .expected = "multiples of " + std::to_string(l.block_bytes) + " bytes",
                   .found = std::to_string(out.size()) + " bytes at " + std::to_string(offset)});
    }
    // Asked before reading, so that `out` stays as it is.
    if (!swap_blocks(t.type_id, {})) {
      throw error({.code = errc::unsupported_type,
                   .message = "the byte order of this type's blocks is not known, and the file is big endian",
                   .file = file.path(),
                   .subject = t.name,
                   .found = l.name});
    }
  }
  file.read(t.offset + offset, out);
  if (swap) swap_blocks(t.type_id, out);
}

std::span<const std::byte> model::map(const tensor& t) const {
  const input_file& file = state_->file_of(t, 0, t.bytes);
  if (state_->shards[t.shard].big_endian) {
    throw error({.code = errc::unsupported_type,
                 .message = "tensors of a big-endian file cannot be mapped",
                 .file = file.path(),
                 .subject = t.name,
                 .advice = "read() gives little-endian blocks"});
  }
  if (t.bytes == 0) return {};
  const std::scoped_lock lock(state_->mapping);
  return file.map().subspan(static_cast<std::size_t>(t.offset), static_cast<std::size_t>(t.bytes));
}

}  // namespace bq::gguf
