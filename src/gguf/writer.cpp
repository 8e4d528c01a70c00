// Writing models: the headers at construction, the data in any order, the names at the end.
#include <algorithm>
#include <mutex>
#include <utility>

#include "blockquant/gguf.hpp"
#include "blockquant/output_file.hpp"
#include "coverage.hpp"
#include "folder.hpp"
#include "src/checked.hpp"
#include "write_plan.hpp"

namespace bq::gguf {

struct writer::state {
  write_plan plan;
  std::vector<std::string> paths;
  std::vector<output_file> files;
  std::mutex writing;  // guards `written`
  std::vector<coverage> written;
  bool committed = false;

  void require_open() const {
    if (!committed) return;
    throw error({.code = errc::invalid_argument, .message = "the file has been committed", .file = paths.front()});
  }
  void check_complete() const;
  void publish();
};

void writer::state::check_complete() const {
  for (std::size_t i = 0; i < plan.tensors.size(); ++i) {
    const planned_tensor& t = plan.tensors[i];
    const std::uint64_t gap = written[i].first_gap(t.bytes);
    if (gap == t.bytes) continue;
    throw error({.code = errc::io,
                 .message = "the tensor has not been written in full",
                 .file = paths[t.part],
                 .subject = t.name,
                 .expected = std::to_string(t.bytes) + " bytes",
                 .found = "none at " + std::to_string(gap)});
  }
}

// The first part last: a model is not found before it is complete.
void writer::state::publish() {
  try {
    for (std::size_t i = files.size(); i-- > 0;) files[i].publish();
  } catch (...) {
    for (output_file& f : files) f.withdraw();
    throw;
  }
}

writer::writer(const std::string& path, gguf::metadata meta, std::vector<tensor_shape> tensors,
               const write_options& options)
    : state_(std::make_unique<state>()) {
  state& s = *state_;
  s.plan = plan_files(path, std::move(meta), std::move(tensors), options);
  s.written.resize(s.plan.tensors.size());
  require_free_space(folder_of(path), s.plan.total_bytes);
  s.files.reserve(s.plan.parts.size());
  for (const planned_part& p : s.plan.parts) {
    s.paths.push_back(p.path);
    s.files.emplace_back(p.path, p.file_bytes, options.overwrite);
    s.files.back().write(0, encode_header(s.plan, p));
  }
}

writer::~writer() = default;

std::span<const std::string> writer::paths() const noexcept { return state_->paths; }
std::uint64_t writer::total_bytes() const noexcept { return state_->plan.total_bytes; }

void writer::write(std::size_t i, std::uint64_t offset, std::span<const std::byte> data) {
  state& s = *state_;
  s.require_open();
  const bool exists = i < s.plan.tensors.size();
  const auto end = (checked(offset) + data.size()).at_most(exists ? s.plan.tensors[i].bytes : 0);
  if (!exists || !end) {
    throw error({.code = errc::out_of_range,
                 .message = exists ? "the range lies outside the tensor" : "there is no such tensor",
                 .file = s.paths.front(),
                 .subject = exists ? s.plan.tensors[i].name : "tensor " + std::to_string(i),
                 .expected = exists ? "at most " + std::to_string(s.plan.tensors[i].bytes) + " bytes" : "",
                 .found = std::to_string(data.size()) + " bytes at " + std::to_string(offset)});
  }
  const planned_tensor& t = s.plan.tensors[i];
  s.files[t.part].write(s.plan.parts[t.part].data_offset + t.offset + offset, data);
  const std::scoped_lock lock(s.writing);
  s.written[i].add(offset, *end);
}

void writer::patch(std::string_view key, const value& v) {
  state& s = *state_;
  s.require_open();
  planned_part& first = s.plan.parts.front();
  const std::uint64_t at = value_offset(first, key);
  const value& old = *first.metadata.find(key);
  const bool layout = key == "general.alignment" || key.starts_with("split.");
  if (layout || old.type() != v.type() || old.element_type() != v.element_type() ||
      old.encoding().size() != v.encoding().size()) {
    throw error({.code = errc::wrong_value_type,
                 .message = layout ? "the files were laid out by this value"
                                   : "a value can only be replaced by one of its size",
                 .file = first.path,
                 .subject = std::string(key),
                 .offset = at,
                 .expected = std::string(name(old.type())) + " of " + std::to_string(old.encoding().size()) + " bytes",
                 .found = std::string(name(v.type())) + " of " + std::to_string(v.encoding().size()) + " bytes"});
  }
  s.files.front().write(at, v.encoding());
}

void writer::commit() {
  state& s = *state_;
  s.require_open();
  s.check_complete();
  for (output_file& f : s.files) f.sync();
  s.publish();
  s.committed = true;
  sync_folder(folder_of(s.paths.front()));
}

}  // namespace bq::gguf
