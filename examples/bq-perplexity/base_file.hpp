// What a base model thinks of a text: the log-probabilities of every token at every scored position, kept so that other
// models can be compared with it without running it again. Two forms, both little endian:
//
//   blockquant  "bqlogits", u32 version = 1, u32 values (0: codes, 1: f32), u32 window, u32 vocabulary, u32 windows,
//               u32 0, u64 fingerprint of the model, u64 of its tokeniser; i32 tokens[windows][window]; u64 XXH64 of
//               all that; then for each window its rows and u64 XXH64 of them
//   llama.cpp   "_logits_", i32 window, i32 vocabulary, i32 windows; i32 tokens[windows][window]; then the rows of all
//               windows, as codes
//
// A window of W tokens has W - 1 - W / 2 rows. A row of f32 is ln p of each token; a row of codes is f32 scale, f32
// least, u16 code[vocabulary], and one more where that is odd: ln p = scale * code + least. Code 0 is for 24 below the
// largest and everything below that.
#pragma once
#include <blockquant/output_file.hpp>
#include <blockquant/parallel.hpp>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "evaluation/windows.hpp"
#include "program/digest.hpp"
#include "program/file_reader.hpp"

namespace bq_perplexity {

enum class base_form { codes, f32, llama };

struct base_header {
  base_form form = base_form::codes;
  bq_llm::window_set windows = {};  // without bos
  std::int64_t vocabulary = 0;
  std::uint64_t model = 0, tokenizer = 0;  // fingerprints; 0 in llama.cpp's form

  std::uint64_t row_bytes() const;
};

// The file appears when it is complete.
class base_writer {
 public:
  // Throws as bq::output_file.
  base_writer(const std::string& path, const base_header& header);

  // The next rows, of one window, from their logits [rows, vocabulary], finite. Throws errc::io, errc::disk_full.
  void add(std::span<const float> logits, bq::executor& threads);
  // Throws errc::io, errc::disk_full.
  void commit();

 private:
  void write(std::span<const std::byte> bytes);

  const base_header header_;
  bq::output_file file_;
  std::uint64_t written_ = 0;
  std::int64_t row_ = 0;  // in its window
  bq_program::digest digest_;
  std::vector<std::byte> rows_;
};

class base_reader {
 public:
  // Checks the size of the file, its header and its tokens. Throws errc::bad_version, errc::bad_count, errc::truncated,
  // errc::trailing_data, errc::bad_value (a token that is none), errc::damaged, errc::not_a_file, errc::io,
  // errc::bad_data (a file of another kind).
  explicit base_reader(const std::string& path);

  const base_header& header() const { return header_; }

  // ln p of the next rows, of one window, into out [rows, vocabulary]; bq_llm::no_probability where the code is 0.
  // Throws errc::damaged when a window's digest does not fit, errc::bad_data (values that are no log-probabilities),
  // errc::io.
  void next(std::span<float> out, bq::executor& threads);

 private:
  void read_header();
  void check_size();

  bq_program::file_reader file_;
  base_header header_;
  std::int64_t row_ = 0, window_ = 0;
  bq_program::digest digest_;
  std::vector<std::byte> rows_;
};

}  // namespace bq_perplexity
