#include "language_model.hpp"

#include <algorithm>
#include <future>

#include "program/digest.hpp"

namespace bq_llm {

namespace {

class hash : public bq_program::digest {
 public:
  using digest::add;
  void add(std::uint64_t number) { add(std::as_bytes(std::span(&number, 1))); }
  void add(std::string_view text) {
    add(text.size());
    add(std::as_bytes(std::span(text)));
  }
};

}  // namespace

language_model::language_model(const std::string& path, const preparation& meanwhile)
    : file(path), model(describe(file)), tokenizer([&] {
        std::future<void> other;
        if (meanwhile) other = std::async(std::launch::async, [&] { meanwhile(model, file); });
        auto made = bq_llm::tokenizer::from(file.gguf().metadata());
        if (meanwhile) other.get();
        return made;
      }()) {}

std::uint64_t language_model::fingerprint() const {
  constexpr std::uint64_t most = 64 << 10;
  hash h;
  std::vector<std::byte> data;
  for (const bq::gguf::tensor& t : file.gguf().tensors()) {
    h.add(t.name);
    h.add(t.type_id);
    for (const std::int64_t n : t.ne) h.add(static_cast<std::uint64_t>(n));
    data.resize(std::min(t.bytes, most));
    file.gguf().read(t, 0, data);
    h.add(data);
  }
  return h.value();
}

std::uint64_t language_model::tokenizer_fingerprint() const {
  hash h;
  for (const auto& [key, value] : file.gguf().metadata().entries()) {
    if (!key.starts_with("tokenizer.ggml.")) continue;
    h.add(key);
    h.add(value.encoding());
  }
  return h.value();
}

std::uint64_t language_model::file_bytes() const {
  std::uint64_t bytes = 0;
  for (const bq::gguf::shard& s : file.gguf().shards()) bytes += s.file_bytes;
  return bytes;
}

std::int64_t language_model::parameters() const {
  std::int64_t n = 0;
  for (const bq::gguf::tensor& t : file.gguf().tensors()) n += t.elements();
  return n;
}

}  // namespace bq_llm
