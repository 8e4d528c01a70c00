// Importance matrices: the mean squared activation per column of a weight matrix, measured on sample text by bq-imatrix
// or llama-imatrix. Reads both of its file forms, and gives the numbers that llama-quantize would use, bit for bit:
//
//   GGUF    tensors NAME.in_sum2 [cols, experts] and NAME.counts [1, experts]: importance = in_sum2 / count, 1 where
//   count is 0;
//           keys imatrix.datasets, imatrix.chunk_count, imatrix.chunk_size
//   legacy  i32 entries; each: i32 length, name, i32 calls, i32 values, f32 values[] (importance = value / calls, or
//   the value
//           itself when calls is 0); then optionally i32 chunks, i32 length, data set's name
//
// Only an index stays in memory: values are read when a tensor needs them, since all experts together can be larger
// than RAM.
#pragma once
#include <blockquant/gguf.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bq_llm {

class imatrix {
 public:
  // Opens and checks every value. Throws errc::bad_importance naming tensor, index and value (negative, not finite, a
  // count that is neither), the structure's errors of either form, errc::io, errc::not_a_file.
  static imatrix open(const std::string& path);

  // Forgets every entry whose name contains one of `parts` (--exclude-weights), or none of them (--include-weights).
  void exclude(std::span<const std::string> parts);
  void include_only(std::span<const std::string> parts);

  // Values of an entry, cols * experts of them (expert by expert): 0 when there is none.
  std::uint64_t values(std::string_view name) const noexcept;
  // The importance of the weight matrix `name`, [experts, cols]; entry e * cols + c is for column c in the rows of
  // expert e (rows e * ne[1] ... of the tensor). Thread safe. Throws errc::invalid_argument when there is no entry,
  // errc::io, errc::file_changed.
  std::vector<float> load(std::string_view name) const;

  // How much text an entry was measured on, expert by expert: tokens in the GGUF form; one number of calls (chunks of
  // text) in the legacy form. Empty when there is no entry. Thread safe.
  std::vector<float> counts(std::string_view name) const;

  std::vector<std::string> names() const;
  std::size_t size() const noexcept { return entries_.size(); }
  const std::string& path() const noexcept { return path_; }
  const std::vector<std::string>& datasets() const noexcept { return datasets_; }
  std::int64_t chunks() const noexcept { return chunks_; }          // of sample text, 0 when unknown
  std::int64_t chunk_size() const noexcept { return chunk_size_; }  // tokens; 0 when unknown: the legacy form
  bool legacy() const noexcept { return !model_; }

 private:
  struct entry {
    std::uint64_t values = 0;                  // floats
    std::uint64_t offset = 0;                  // legacy: of the values, in bytes
    std::int32_t calls = 0;                    // legacy
    const bq::gguf::tensor* sums = nullptr;    // GGUF
    const bq::gguf::tensor* counts = nullptr;  // GGUF
  };
  using visitor = std::function<void(std::uint64_t first, std::span<const float> part)>;

  void index_gguf();
  void index_legacy();
  void visit(std::string_view name, const entry& e, const visitor& use) const;
  void check(std::string_view name, const entry& e) const;

  std::string path_;
  std::optional<bq::gguf::model> model_;  // GGUF form
  std::map<std::string, entry, std::less<>> entries_;
  std::vector<std::string> datasets_;
  std::int64_t chunks_ = 0, chunk_size_ = 0;
};

}  // namespace bq_llm
