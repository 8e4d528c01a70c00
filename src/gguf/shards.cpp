// Parts of a split model: PREFIX-00001-of-00003.gguf and so on. Each part states its number (from 0), how many parts
// there are, and how many tensors all of them hold; the first one has the model's metadata. All of it must agree with
// the file names, because nothing else ties the parts together.
#include "shards.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <utility>

namespace bq::gguf {

namespace {

struct split_keys {
  std::uint64_t no = 0, count = 0, tensors = 0;
};

std::uint64_t split_number(const file_header& h, std::string_view key) {
  try {
    return h.metadata.require_uint(key);
  } catch (const error& e) {
    error_info info = e.info();
    if (info.code == errc::missing_key) info.code = errc::bad_shard;
    info.file = h.where.path;
    throw error(std::move(info));
  }
}

// Empty when the file says nothing of other parts.
std::optional<split_keys> keys_of(const file_header& h) {
  if (!h.metadata.find(split_count_key)) return std::nullopt;
  const std::uint64_t count = split_number(h, split_count_key);
  if (count <= 1) return std::nullopt;
  return split_keys{split_number(h, split_no_key), count, split_number(h, split_tensors_key)};
}

[[noreturn]] void fail(const part& p, std::string message, std::string_view key, std::string expected,
                       std::string found, std::string advice = {}) {
  throw error({.code = errc::bad_shard,
               .message = std::move(message),
               .file = p.file.path(),
               .subject = std::string(key),
               .expected = std::move(expected),
               .found = std::move(found),
               .advice = std::move(advice)});
}

void compare(const part& p, std::string_view key, std::uint64_t expected, std::uint64_t found) {
  if (found != expected) {
    fail(p, "the part does not belong to the model", key, std::to_string(expected), std::to_string(found),
         "the parts of one split must be complete and unrenamed");
  }
}

void check_architecture(const part& first, const part& p) {
  constexpr std::string_view key = "general.architecture";
  const value *a = first.header.metadata.find(key), *b = p.header.metadata.find(key);
  if (!a || !b || std::ranges::equal(a->encoding(), b->encoding())) return;
  fail(p, "the parts are of different models", key, std::string(a->as_string().value_or("")),
       std::string(b->as_string().value_or("")));
}

part open_next(const std::string& path, const part& named, std::uint64_t count, const limits& max) {
  std::error_code ignored;
  if (std::filesystem::exists(path, ignored)) return open_part(path, max);
  fail(named, "a part of the split model is missing", "", "the file " + path, "",
       "all " + std::to_string(count) + " parts must lie in one folder");
}

}  // namespace

std::string shard_path(std::string_view prefix, std::uint32_t no, std::uint32_t count) {
  const auto digits = [](std::uint64_t n) {
    const std::string text = std::to_string(n);
    return std::string(text.size() < 5 ? 5 - text.size() : 0, '0') + text;
  };
  return std::string(prefix) + "-" + digits(std::uint64_t{no} + 1) + "-of-" + digits(count) + ".gguf";
}

std::optional<std::string> shard_prefix(std::string_view path) {
  constexpr std::string_view pattern = "-00000-of-00000.gguf";
  if (path.size() <= pattern.size()) return std::nullopt;
  const std::string_view tail = path.substr(path.size() - pattern.size());
  const auto fits = [](char p, char c) { return p == '0' ? c >= '0' && c <= '9' : p == c; };
  if (!std::ranges::equal(pattern, tail, fits)) return std::nullopt;
  return std::string(path.substr(0, path.size() - pattern.size()));
}

part open_part(const std::string& path, const limits& max) {
  input_file file(path);
  file_header header = reader::read(file, max);
  return {std::move(file), std::move(header)};
}

std::vector<part> open_all_parts(part named, const limits& max) {
  const auto keys = keys_of(named.header);
  std::vector<part> parts;
  if (!keys) {
    parts.push_back(std::move(named));
  } else {
    constexpr std::uint64_t max_parts = 65535;  // split.count is a u16
    if (keys->count > max_parts || keys->no >= keys->count) {
      fail(named, "the part's number makes no sense", split_no_key, "a number below " + std::to_string(keys->count),
           std::to_string(keys->no));
    }
    const auto no = static_cast<std::uint32_t>(keys->no), count = static_cast<std::uint32_t>(keys->count);
    const auto prefix = shard_prefix(named.file.path());
    if (!prefix || shard_path(*prefix, no, count) != named.file.path()) {
      fail(named, "the file's name does not fit its place in the split model", "",
           "a name ending in " + shard_path("", no, count), "", "give the file its original name");
    }
    std::uint64_t tensors = 0;
    for (std::uint32_t i = 0; i < count; ++i) {
      parts.push_back(i == no ? std::move(named)
                              : open_next(shard_path(*prefix, i, count), i < no ? named : parts[no], count, max));
      const part& p = parts.back();
      compare(p, split_count_key, count, split_number(p.header, split_count_key));
      compare(p, split_no_key, i, split_number(p.header, split_no_key));
      compare(p, split_tensors_key, keys->tensors, split_number(p.header, split_tensors_key));
      check_architecture(parts.front(), p);
      tensors += p.header.tensors.size();
    }
    if (tensors != keys->tensors) {
      fail(parts.front(), "the parts do not hold all tensors", split_tensors_key, std::to_string(keys->tensors),
           std::to_string(tensors));
    }
  }
  for (const std::string_view key : {split_no_key, split_count_key, split_tensors_key})
    parts.front().header.metadata.erase(key);
  return parts;
}

}  // namespace bq::gguf
