#include "interleaved_weights.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <blockquant/interleave.hpp>
#include <cstdint>
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

// Rows of one product that are read and laid out at once.
struct piece {
  linear* product;
  std::uint64_t offset;  // in its tensor, bytes
  std::int64_t rows;
  std::span<std::byte> out;
};

void append_pieces(std::vector<piece>& pieces, linear& product, std::span<std::byte> out) {
  constexpr std::int64_t group = 16;               // rows; a multiple of every instruction set's groups
  constexpr std::int64_t piece_bytes = 128 << 10;  // still in the cache when they are laid out
  const bq::matrix& w = product.weight;
  const auto row = static_cast<std::int64_t>(bq::row_bytes(w.id, w.cols));
  const std::int64_t most = std::max(group, piece_bytes / row / group * group);
  for (std::int64_t first = 0; first < w.rows; first += most) {
    const std::int64_t rows = std::min(most, w.rows - first);
    const std::size_t size = bq::interleaved_bytes({w.id, rows, w.cols, {}});
    pieces.push_back({&product, static_cast<std::uint64_t>(first * row), rows, out.first(size)});
    out = out.subspan(size);
  }
}

// Read and not mapped: to have the system map a page takes longer than to copy it.
void lay_out(const bq::gguf::model& file, std::span<const piece> pieces, bq::executor& threads) {
  std::size_t largest = 0;
  for (const piece& p : pieces) largest = std::max(largest, p.out.size());
  std::atomic<std::size_t> next = 0;
  threads.run(static_cast<std::size_t>(threads.concurrency()), [&](std::size_t) {
    std::vector<std::byte> blocks(largest);
    for (std::size_t i; (i = next++) < pieces.size();) {
      const auto& [product, offset, rows, out] = pieces[i];
      bq::matrix w{product->weight.id, rows, product->weight.cols, {}};
      const std::span<std::byte> read(blocks.data(), static_cast<std::size_t>(rows) * bq::row_bytes(w.id, w.cols));
      file.read(*file.find(product->name), offset, read);
      w.blocks = read;
      const int lanes = bq::interleave(w, out).interleaved;
      if (offset == 0) product->weight.interleaved = lanes;
    }
  });
}

}  // namespace

void interleaved_weights::release::operator()(std::byte* p) const noexcept { std::free(p); }

interleaved_weights::interleaved_weights(decoder& model, const model_file& file, bq::executor& threads) {
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
  std::vector<piece> pieces;
  std::byte* to = memory_.get();
  for (linear* w : products) {
    const std::span<std::byte> out(to, bq::interleaved_bytes(w->weight));
    if (out.empty()) continue;
    append_pieces(pieces, *w, out);
    w->weight.blocks = out;
    to += rounded_up(out.size(), line);
  }
  lay_out(file.gguf(), pieces, threads);
}

}  // namespace bq_llm
