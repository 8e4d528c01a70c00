#include "base_file.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <blockquant/error.hpp>
#include <cstring>

#include "base_row.hpp"

namespace bq_perplexity {

namespace {

using magic = std::array<char, 8>;
constexpr magic our_magic{'b', 'q', 'l', 'o', 'g', 'i', 't', 's'}, llama_magic{'_', 'l', 'o', 'g', 'i', 't', 's', '_'};
constexpr std::uint32_t version = 1;
constexpr std::int64_t most = 1 << 28;  // of tokens in a window, and in the vocabulary: sizes stay below 2^62

struct our_header {
  std::array<char, 8> kind;
  std::uint32_t version, values, window, vocabulary, windows, reserved;
  std::uint64_t model, tokenizer;
};
static_assert(sizeof(our_header) == 48);

struct llama_header {
  std::array<char, 8> kind;
  std::int32_t window, vocabulary, windows;
};
static_assert(sizeof(llama_header) == 20);

std::uint64_t size(std::int64_t n) { return static_cast<std::uint64_t>(n); }

std::vector<std::byte> encode_header(const base_header& h) {
  std::vector<std::byte> bytes;
  const auto add = [&](const auto& values) {
    const auto of = std::as_bytes(std::span(values));
    bytes.insert(bytes.end(), of.begin(), of.end());
  };
  if (h.form == base_form::llama) {
    add(std::array{llama_header{llama_magic, static_cast<std::int32_t>(h.windows.length),
                                static_cast<std::int32_t>(h.vocabulary), static_cast<std::int32_t>(h.windows.count)}});
    add(h.windows.tokens);
    return bytes;
  }
  add(std::array{our_header{our_magic, version, h.form == base_form::f32 ? 1u : 0u,
                            static_cast<std::uint32_t>(h.windows.length), static_cast<std::uint32_t>(h.vocabulary),
                            static_cast<std::uint32_t>(h.windows.count), 0, h.model, h.tokenizer}});
  add(h.windows.tokens);
  bq_program::digest digest;
  digest.add(bytes);
  add(std::array{digest.value()});
  return bytes;
}

std::uint64_t window_bytes(const base_header& h) {
  return size(h.windows.scored()) * h.row_bytes() + (h.form == base_form::llama ? 0 : sizeof(std::uint64_t));
}

}  // namespace

std::uint64_t base_header::row_bytes() const {
  return form == base_form::f32 ? sizeof(float) * size(vocabulary) : code_row_bytes(vocabulary);
}

base_writer::base_writer(const std::string& path, const base_header& header)
    : header_(header),
      file_(path, encode_header(header).size() + size(header.windows.count) * window_bytes(header), true) {
  write(encode_header(header_));
}

void base_writer::write(std::span<const std::byte> bytes) {
  file_.write(written_, bytes);
  written_ += bytes.size();
}

void base_writer::add(std::span<const float> logits, bq::executor& threads) {
  const std::size_t vocabulary = size(header_.vocabulary), rows = logits.size() / vocabulary;
  const std::size_t stride = header_.row_bytes();
  rows_.resize(rows * stride);
  threads.run(rows, [&](std::size_t i) {
    const auto encode = header_.form == base_form::f32 ? encode_floats : encode_codes;
    encode(logits.subspan(i * vocabulary, vocabulary), std::span(rows_).subspan(i * stride, stride));
  });
  write(rows_);
  row_ += static_cast<std::int64_t>(rows);
  if (header_.form == base_form::llama) return;
  digest_.add(rows_);
  if (row_ < header_.windows.scored()) return;
  const std::uint64_t digest = digest_.value();
  write(std::as_bytes(std::span(&digest, 1)));
  digest_.restart();
  row_ = 0;
}

void base_writer::commit() { file_.commit(); }

base_reader::base_reader(const std::string& path) : file_(path, "the base file") {
  read_header();
  check_size();
}

void base_reader::read_header() {
  const auto kind = file_.number<magic>("its kind");
  file_.seek(0);
  std::uint32_t values = 0;
  std::int64_t window = 0, windows = 0;
  our_header ours{};
  if (kind == llama_magic) {
    const auto h = file_.number<llama_header>("its sizes");
    header_.form = base_form::llama;
    window = h.window, windows = h.windows, header_.vocabulary = h.vocabulary;
  } else if (kind == our_magic) {
    ours = file_.number<our_header>("its sizes");
    if (ours.version != version) {
      file_.bad(bq::errc::bad_version, "another version of the format", std::to_string(version),
                std::to_string(ours.version));
    }
    values = ours.values;
    header_.form = values == 1 ? base_form::f32 : base_form::codes;
    window = ours.window, windows = ours.windows, header_.vocabulary = ours.vocabulary;
    header_.model = ours.model, header_.tokenizer = ours.tokenizer;
  } else {
    file_.bad(bq::errc::bad_data, "no file of a base model's log-probabilities", "bqlogits or _logits_",
              bq::printable(std::string_view(kind.data(), kind.size())));
  }
  if (window < 4 || window > most || header_.vocabulary < 1 || header_.vocabulary > most || windows < 1 || values > 1) {
    file_.bad(bq::errc::bad_count, "impossible sizes", "",
              std::to_string(windows) + " windows of " + std::to_string(window) + " tokens, " +
                  std::to_string(header_.vocabulary) + " tokens in the vocabulary");
  }
  file_.bytes_of(windows, 4 * size(window), "its tokens");
  header_.windows.length = window;
  header_.windows.count = windows;
  header_.windows.tokens.resize(size(window * windows));
  const auto tokens = std::as_writable_bytes(std::span(header_.windows.tokens));
  file_.read(tokens, "its tokens");
  if (header_.form == base_form::llama) return;
  digest_.add(std::as_bytes(std::span(&ours, 1)));
  digest_.add(tokens);
  if (file_.number<std::uint64_t>("the digest of its header") != digest_.value()) {
    file_.bad(bq::errc::damaged, "the header's digest does not fit");
  }
  digest_.restart();
}

void base_reader::check_size() {
  const std::uint64_t each = window_bytes(header_);
  const std::uint64_t fit = file_.left() / each;
  if (fit < size(header_.windows.count)) {
    file_.bad(bq::errc::truncated, "the file ends too early", std::to_string(header_.windows.count) + " windows",
              std::to_string(fit));
  }
  if (file_.left() != size(header_.windows.count) * each) {
    file_.bad(bq::errc::trailing_data, "bytes after the last window");
  }
  const auto bad =
      std::ranges::find_if(header_.windows.tokens, [&](int t) { return t < 0 || t >= header_.vocabulary; });
  if (bad != header_.windows.tokens.end()) {
    file_.bad(bq::errc::bad_value, "an id that is no token", "0 to " + std::to_string(header_.vocabulary - 1),
              std::to_string(*bad));
  }
}

void base_reader::next(std::span<float> out, bq::executor& threads) {
  const std::size_t vocabulary = size(header_.vocabulary), rows = out.size() / vocabulary;
  const std::size_t stride = header_.row_bytes();
  rows_.resize(rows * stride);
  file_.read(rows_, "a window's rows");
  std::atomic<bool> good = true;
  threads.run(rows, [&](std::size_t i) {
    const auto decode = header_.form == base_form::f32 ? decode_floats : decode_codes;
    if (!decode(std::span(rows_).subspan(i * stride, stride), out.subspan(i * vocabulary, vocabulary))) good = false;
  });
  if (!good)
    file_.bad(bq::errc::bad_data, "values that are no log-probabilities", "", "window " + std::to_string(window_));
  if (header_.form != base_form::llama) digest_.add(rows_);
  row_ += static_cast<std::int64_t>(rows);
  if (row_ < header_.windows.scored()) return;
  if (header_.form != base_form::llama) {
    if (file_.number<std::uint64_t>("a window's digest") != digest_.value()) {
      file_.bad(bq::errc::damaged, "a window's digest does not fit", "", "window " + std::to_string(window_));
    }
    digest_.restart();
  }
  row_ = 0;
  ++window_;
}

}  // namespace bq_perplexity
