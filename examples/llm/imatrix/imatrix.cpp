// Both forms of importance matrices become one index of entries; visit() alone knows how an entry's numbers are read
// and normalised, for checking and for use. Every length of the file is checked before anything is allocated or
// skipped.
#include "imatrix.hpp"

#include <algorithm>
#include <array>
#include <blockquant/error.hpp>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "program/file_reader.hpp"

namespace bq_llm {
namespace {

constexpr std::uint64_t piece = 1 << 16;  // floats read at a time
constexpr std::string_view sums_suffix = ".in_sum2", counts_suffix = ".counts";

bq::error bad_entry(const std::string& file, std::string_view name, std::string message, std::string expected = {},
                    std::string found = {}) {
  return bq::error({.code = bq::errc::bad_importance,
                    .message = std::move(message),
                    .file = file,
                    .subject = std::string(name),
                    .expected = std::move(expected),
                    .found = std::move(found)});
}

bool starts_like_gguf(const std::string& path) {
  std::array<char, 4> magic{};
  std::ifstream(path, std::ios::binary).read(magic.data(), magic.size());
  return std::string_view(magic.data(), magic.size()) == "GGUF";
}

bool contains_any(std::string_view name, std::span<const std::string> parts) {
  return std::any_of(parts.begin(), parts.end(), [&](const auto& part) { return name.find(part) != name.npos; });
}

}  // namespace

imatrix imatrix::open(const std::string& path) {
  std::error_code failure;
  const auto status = std::filesystem::status(path, failure);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status))
    throw bq::error({.code = bq::errc::not_a_file, .message = "not a regular file", .file = path});
  imatrix m;
  m.path_ = path;
  if (starts_like_gguf(path))
    m.index_gguf();
  else
    m.index_legacy();
  for (const auto& [name, e] : m.entries_) m.check(name, e);
  return m;
}

void imatrix::index_gguf() {
  model_ = bq::gguf::model::open(path_);
  const auto& meta = model_->metadata();
  const auto* datasets = meta.find("imatrix.datasets");
  const auto* chunks = meta.find("imatrix.chunk_count");
  if (!datasets || !chunks || !meta.find("imatrix.chunk_size"))
    throw bq::error({.code = bq::errc::missing_key,
                     .message = "no importance matrix: its keys are missing",
                     .file = path_,
                     .expected = "imatrix.datasets, imatrix.chunk_count, imatrix.chunk_size",
                     .advice = "make one with llama-imatrix"});
  for (std::size_t i = 0; i < datasets->size(); ++i)
    if (const auto text = datasets->as_string(i)) datasets_.emplace_back(*text);
  chunks_ = chunks->as_int().value_or(0);
  chunk_size_ = meta.find("imatrix.chunk_size")->as_int().value_or(0);

  for (const bq::gguf::tensor& t : model_->tensors()) {
    const std::string_view name = t.name;
    const bool is_sums = name.ends_with(sums_suffix);
    if (!is_sums && !name.ends_with(counts_suffix)) continue;
    const std::string_view weight = name.substr(0, name.size() - (is_sums ? sums_suffix : counts_suffix).size());
    if (t.type_id != static_cast<std::uint32_t>(bq::type::f32))
      throw bad_entry(path_, name, "sums and counts have another type", "f32", bq::gguf::label(t.type_id).name);
    entry& e = entries_[std::string(weight)];
    (is_sums ? e.sums : e.counts) = &t;
  }
  for (auto& [name, e] : entries_) {
    if (!e.sums || !e.counts) throw bad_entry(path_, name, "sums without counts, or counts without sums");
    e.values = static_cast<std::uint64_t>(e.sums->elements());
    const auto counts = static_cast<std::uint64_t>(e.counts->elements());
    if (counts == 0 || e.values == 0 || e.values % counts != 0)
      throw bad_entry(path_, name, "the counts do not divide the sums", "one count for each expert's columns",
                      std::to_string(e.values) + " sums, " + std::to_string(counts) + " counts");
  }
  if (entries_.empty()) throw bad_entry(path_, "", "the file has no entries");
}

void imatrix::index_legacy() {
  bq_program::file_reader in(path_, "the importance matrix");
  const auto count = in.number<std::int32_t>("the number of entries");
  constexpr std::uint64_t smallest_entry = 17;  // three numbers, one letter, one value
  if (count < 1 || static_cast<std::uint64_t>(count) > in.left() / smallest_entry)
    in.bad(bq::errc::bad_count, "no importance matrix: an impossible number of entries",
           "1 to " + std::to_string(in.left() / smallest_entry), std::to_string(count));
  for (std::int32_t i = 0; i < count; ++i) {
    const std::string name = in.text(in.number<std::int32_t>("an entry's name"), "an entry's name");
    entry e;
    e.calls = in.number<std::int32_t>("an entry's calls");
    const auto values = in.number<std::int32_t>("an entry's values");
    e.offset = in.position();
    in.skip(in.bytes_of(values, sizeof(float), "an entry's values"), "an entry's values");
    e.values = static_cast<std::uint64_t>(values);
    if (name.empty() || name.find('\0') != name.npos || values == 0)
      throw bad_entry(path_, name, "an entry without a proper name or without values");
    if (e.calls < 0) throw bad_entry(path_, name, "a negative number of calls", "0 or more", std::to_string(e.calls));
    if (!entries_.emplace(name, e).second) throw bad_entry(path_, name, "two entries of one name");
  }
  if (in.left() == 0) return;
  chunks_ = in.number<std::int32_t>("the number of chunks");
  if (in.left() == 0) return;
  if (std::string dataset = in.text(in.number<std::int32_t>("the data set's name"), "the data set's name");
      !dataset.empty())
    datasets_.push_back(std::move(dataset));
}

// Gives the normalised values piece by piece. The arithmetic is llama-quantize's: float sums over float counts.
void imatrix::visit(std::string_view name, const entry& e, const visitor& use) const {
  std::vector<float> values(std::min(e.values, piece)), counts;
  std::ifstream legacy;
  if (!model_) {
    legacy.open(path_, std::ios::binary);
    legacy.seekg(static_cast<std::streamoff>(e.offset));
  }
  for (std::uint64_t first = 0; first < e.values; first += values.size()) {
    values.resize(std::min(e.values - first, piece));
    const auto bytes = std::as_writable_bytes(std::span(values));
    if (model_) {
      model_->read(*e.sums, first * sizeof(float), bytes);
      const std::uint64_t per_count = e.values / static_cast<std::uint64_t>(e.counts->elements());
      const std::uint64_t first_count = first / per_count;
      counts.resize((first + values.size() - 1) / per_count - first_count + 1);
      model_->read(*e.counts, first_count * sizeof(float), std::as_writable_bytes(std::span(counts)));
      for (float& c : counts) {
        if (!(c >= 0 && c < 9e18f)) throw bad_entry(path_, name, "a bad count", "finite, 0 or more", std::to_string(c));
        c = static_cast<float>(std::llround(c));
      }
      for (std::size_t i = 0; i < values.size(); ++i) {
        const float count = counts[(first + i) / per_count - first_count];
        values[i] = count > 0 ? values[i] / count : 1;  // an expert that no text reached: its columns weigh the same
      }
    } else {
      if (!legacy.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size())))
        throw bq::error({.code = bq::errc::file_changed,
                         .message = "the importance matrix became shorter while in use",
                         .file = path_,
                         .subject = std::string(name)});
      if (e.calls > 0)
        for (float& v : values) v /= static_cast<float>(e.calls);
    }
    use(first, values);
  }
}

void imatrix::check(std::string_view name, const entry& e) const {
  visit(name, e, [&](std::uint64_t first, std::span<const float> part) {
    const auto bad = std::find_if(part.begin(), part.end(), [](float v) { return !(v >= 0) || std::isinf(v); });
    if (bad == part.end()) return;
    const auto index = first + static_cast<std::uint64_t>(bad - part.begin());
    throw bad_entry(path_, name, "value " + std::to_string(index) + " of the entry is no importance",
                    "finite, 0 or more", std::to_string(*bad));
  });
}

void imatrix::exclude(std::span<const std::string> parts) {
  std::erase_if(entries_, [&](const auto& e) { return contains_any(e.first, parts); });
}

void imatrix::include_only(std::span<const std::string> parts) {
  std::erase_if(entries_, [&](const auto& e) { return !contains_any(e.first, parts); });
}

std::uint64_t imatrix::values(std::string_view name) const noexcept {
  const auto found = entries_.find(name);
  return found != entries_.end() ? found->second.values : 0;
}

std::vector<float> imatrix::load(std::string_view name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end())
    throw bq::error({.code = bq::errc::invalid_argument,
                     .message = "no importance for this tensor",
                     .file = path_,
                     .subject = std::string(name)});
  std::vector<float> all(found->second.values);
  visit(name, found->second,
        [&](std::uint64_t first, std::span<const float> part) { std::ranges::copy(part, all.begin() + first); });
  return all;
}

std::vector<float> imatrix::counts(std::string_view name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) return {};
  if (!model_) return {static_cast<float>(found->second.calls)};
  std::vector<float> counts(static_cast<std::size_t>(found->second.counts->elements()));
  model_->read(*found->second.counts, 0, std::as_writable_bytes(std::span(counts)));
  return counts;
}

std::vector<std::string> imatrix::names() const {
  std::vector<std::string> all;
  for (const auto& [name, e] : entries_) all.push_back(name);
  return all;
}

}  // namespace bq_llm
