#include "interleaved_weights.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <blockquant/interleave.hpp>
#include <cstdlib>
#include <new>
#include <span>
#include <vector>

namespace bq_llm {

namespace {

constexpr std::size_t line = 64, huge_page = std::size_t{2} << 20;

std::size_t rounded_up(std::size_t n, std::size_t unit) { return (n + unit - 1) / unit * unit; }

std::vector<linear*> products_of(decoder& model) {
  std::vector<linear*> out;
  for (decoder_layer& l : model.layers) {
    for (linear* w : {&l.q, &l.k, &l.v, &l.attention_output, &l.gate, &l.up, &l.down}) out.push_back(w);
  }
  out.push_back(&model.output);
  return out;
}

// In pieces, after each of which the file's memory is given back.
template <class GiveBack>
bq::matrix copied(const bq::matrix& w, std::span<std::byte> out, bq::executor* threads, const GiveBack& give_back) {
  constexpr std::int64_t piece = 4096;  // rows; a multiple of every instruction set's groups
  bq::matrix whole = w;
  whole.blocks = out;
  const std::size_t row = bq::row_bytes(w.id, w.cols);
  for (std::int64_t first = 0; first < w.rows; first += piece) {
    bq::matrix part = w;
    part.rows = std::min(piece, w.rows - first);
    part.blocks = w.blocks.subspan(static_cast<std::size_t>(first) * row, static_cast<std::size_t>(part.rows) * row);
    const std::size_t size = bq::interleaved_bytes(part);
    whole.interleaved = bq::interleave(part, out.first(size), {.threads = threads}).interleaved;
    out = out.subspan(size);
    give_back();
  }
  return whole;
}

}  // namespace

void interleaved_weights::release::operator()(std::byte* p) const noexcept { std::free(p); }

interleaved_weights::interleaved_weights(decoder& model, const model_file& file, bq::executor* threads) {
  const auto products = products_of(model);
  std::size_t bytes = 0;
  for (const linear* w : products) bytes += rounded_up(bq::interleaved_bytes(w->weight), line);
  if (bytes == 0) return;
  bytes = rounded_up(bytes, huge_page);
  memory_.reset(static_cast<std::byte*>(std::aligned_alloc(huge_page, bytes)));
  if (!memory_) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
  madvise(memory_.get(), bytes, MADV_HUGEPAGE);  // a wish: fewer page faults now, fewer misses later
#endif
  std::byte* to = memory_.get();
  for (linear* w : products) {
    const std::size_t size = bq::interleaved_bytes(w->weight);
    if (size == 0) continue;
    w->weight = copied(w->weight, {to, size}, threads, [&] { file.gguf().release(*file.gguf().find(w->name)); });
    to += rounded_up(size, line);
  }
}

}  // namespace bq_llm
