// The entry points that turn floats into blocks and back: argument checks, and the calls into the registry's codecs.
#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <tuple>

#include "arguments.hpp"
#include "blockquant/cuda.hpp"
#include "blockquant/cuda_ops.hpp"
#include "check.hpp"
#include "codec.hpp"
#include "formats/registry.hpp"

namespace bq::cuda {

namespace {

struct codec {
  type id;
  int block_size;
  void (*encode)(const encode_task& task, cudaStream_t s);
  void (*decode)(const unsigned char* blocks, std::int64_t count, element to, void* out, cudaStream_t s);
};

template <class List>
struct codecs;

template <any_format... F>
struct codecs<std::tuple<F...>> {
  static constexpr std::array<codec, sizeof...(F)> rows{
      codec{F::id, F::block_size, encode_on_device<F>, decode_on_device<F>}...};
};

// The codec of a matrix [rows, cols] of this type, whose shape makes sense.
const codec& codec_of(type id, std::int64_t rows, std::int64_t cols) {
  row_bytes(id, cols);  // checks type and cols
  if (rows < 0) {
    throw error({.code = errc::bad_shape, .message = "negative number of rows", .found = std::to_string(rows)});
  }
  const auto& table = codecs<all_formats>::rows;
  const codec& c = *std::find_if(table.begin(), table.end(), [&](const codec& r) { return r.id == id; });
  if (rows > most_blocks / (cols / c.block_size)) {
    throw error({.code = errc::out_of_range,
                 .message = "too many weights for one call",
                 .expected = "at most " + std::to_string(most_blocks) + " blocks",
                 .found = std::to_string(rows) + " x " + std::to_string(cols / c.block_size)});
  }
  return c;
}

std::size_t bytes_of(element e) { return e == element::f32 ? 4 : 2; }

// Blocks may lie anywhere, plain floats only where floats do.
std::size_t alignment_of(const codec& c) { return c.block_size == 1 ? row_bytes(c.id, 1) : 1; }

}  // namespace

void dequantize(type from, const void* blocks, std::int64_t rows, std::int64_t cols, element to, void* out, stream s) {
  const codec& c = codec_of(from, rows, cols);
  if (rows == 0) return;
  require_pointer("blocks of dequantize", blocks, alignment_of(c));
  require_pointer("out of dequantize", out, 4 * bytes_of(to));
  c.decode(static_cast<const unsigned char*>(blocks), rows * (cols / c.block_size), to, out, s);
  check(cudaGetLastError(), "dequantize kernel");
}

void dequantize(type from, const void* blocks, std::int64_t rows, std::int64_t cols, float* out, stream s) {
  dequantize(from, blocks, rows, cols, element::f32, out, s);
}

void quantize(type to, element from, const void* weights, std::int64_t rows, std::int64_t cols, void* blocks,
              const quantize_options& options, stream s) {
  const codec& c = codec_of(to, rows, cols);
  if (rows == 0) return;
  require_pointer("weights of quantize", weights, bytes_of(from));
  require_pointer("blocks of quantize", blocks, alignment_of(c));
  c.encode({.x = {weights},
            .blocks = {static_cast<unsigned char*>(blocks)},
            .from = from,
            .rows = rows,
            .cols = cols,
            .importance = options.importance,
            .first_bad = options.first_bad},
           s);
}

void append(const paged_cache& cache, element from, const void* keys, const void* values, const std::int64_t* slots,
            std::int64_t tokens, stream s) {
  check_cache(cache);
  const std::int64_t cols = cache.kv_heads * cache.head_dim;
  const codec &k = codec_of(cache.keys_type, tokens, cols), &v = codec_of(cache.values_type, tokens, cols);
  if (tokens == 0) return;
  require_pointer("keys of append", keys, bytes_of(from));
  require_pointer("values of append", values, bytes_of(from));
  require_pointer("slots of append", slots, alignof(std::int64_t));
  encode_task task{.x = {keys, values},
                   .blocks = {static_cast<unsigned char*>(cache.keys), static_cast<unsigned char*>(cache.values)},
                   .matrices = k.id == v.id ? 2 : 1,
                   .from = from,
                   .rows = tokens,
                   .cols = cols,
                   .slots = slots,
                   .slot_count = cache.slots};
  k.encode(task, s);
  if (k.id != v.id) {
    task.x[0] = values;
    task.blocks[0] = task.blocks[1];
    v.encode(task, s);
  }
}

}  // namespace bq::cuda
