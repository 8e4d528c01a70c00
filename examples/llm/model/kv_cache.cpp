#include "kv_cache.hpp"

#include <algorithm>
#include <blockquant/error.hpp>
#include <blockquant/quantize.hpp>
#include <limits>
#include <new>

namespace bq_llm {

namespace {

std::uint64_t row_bytes_of(bq::type id, const decoder& model) {
  bq::row_bytes(id, model.head_dim);  // a head must be whole blocks
  return bq::row_bytes(id, model.kv_heads * model.head_dim);
}

}  // namespace

kv_cache::kv_cache(const decoder& model, const kv_cache_options& options)
    : options_(options),
      cols_(model.kv_heads * model.head_dim),
      layers_(model.layers.size()),
      keys_{options.keys, row_bytes_of(options.keys, model), nullptr},
      values_{options.values, row_bytes_of(options.values, model), nullptr} {
  if (options_.context == 0) options_.context = model.context;
  if (options_.context < 1 || options_.sequences < 1 || options_.context > std::int64_t{1} << 31) {
    throw bq::error({.code = bq::errc::invalid_argument,
                     .message = "impossible size of a key and value cache",
                     .expected = "1 or more sequences of 1 to 2147483648 positions",
                     .found = std::to_string(options_.sequences) + " of " + std::to_string(options_.context)});
  }
  const std::uint64_t most = std::numeric_limits<std::uint64_t>::max() / 4,
                      layer_row = keys_.row_bytes + values_.row_bytes;
  const std::uint64_t rows_of_layer =
      static_cast<std::uint64_t>(options_.sequences) * static_cast<std::uint64_t>(options_.context);
  if (layers_ > 0 && rows_of_layer > most / layers_ / layer_row) throw std::bad_alloc();
  length_.resize(static_cast<std::size_t>(options_.sequences));
  const std::uint64_t rows = layers_ * rows_of_layer;
  for (store* s : {&keys_, &values_}) s->bytes = std::make_unique_for_overwrite<std::byte[]>(rows * s->row_bytes);
}

std::uint64_t kv_cache::bytes() const noexcept {
  return layers_ * length_.size() * static_cast<std::uint64_t>(options_.context) *
         (keys_.row_bytes + values_.row_bytes);
}

void kv_cache::truncate(int sequence, std::int64_t length) {
  auto& l = length_.at(static_cast<std::size_t>(sequence));
  l = std::min(l, std::max<std::int64_t>(0, length));
}

void kv_cache::copy(int from, int to, std::int64_t length) {
  const std::int64_t n = std::clamp<std::int64_t>(length, 0, this->length(from));
  for (std::size_t layer = 0; layer < layers_; ++layer) {
    for (const store* s : {&keys_, &values_}) {
      std::ranges::copy(rows(*s, layer, from, 0, n), rows(*s, layer, to, 0, n).data());
    }
  }
  length_.at(static_cast<std::size_t>(to)) = n;
}

std::span<std::byte> kv_cache::rows(const store& s, std::size_t layer, int sequence, std::int64_t first,
                                    std::int64_t n) const {
  const std::uint64_t at =
      (layer * length_.size() + static_cast<std::size_t>(sequence)) * static_cast<std::uint64_t>(options_.context) +
      static_cast<std::uint64_t>(first);
  return {s.bytes.get() + at * s.row_bytes, static_cast<std::size_t>(n) * s.row_bytes};
}

void kv_cache::write(std::size_t layer, int sequence, std::span<const float> keys, std::span<const float> values,
                     bq::executor* threads) {
  const std::int64_t n = static_cast<std::int64_t>(keys.size()) / cols_;
  try {
    bq::quantize(keys_.id, keys, n, cols_, rows(keys_, layer, sequence, length(sequence), n), {.threads = threads});
    bq::quantize(values_.id, values, n, cols_, rows(values_, layer, sequence, length(sequence), n),
                 {.threads = threads});
  } catch (const bq::error& e) {
    auto info = e.info();
    info.message = "keys or values cannot be stored in the cache: " + info.message;
    info.subject = "layer " + std::to_string(layer);
    throw bq::error(std::move(info));
  }
}

bq::attention_sequence kv_cache::read(std::size_t layer, int sequence, std::int64_t tokens) const {
  const std::int64_t position = length(sequence), all = position + tokens;
  return {tokens,
          position,
          {keys_.id, all, cols_, rows(keys_, layer, sequence, 0, all)},
          {values_.id, all, cols_, rows(values_, layer, sequence, 0, all)}};
}

void kv_cache::advance(int sequence, std::int64_t tokens) { length_.at(static_cast<std::size_t>(sequence)) += tokens; }

}  // namespace bq_llm
