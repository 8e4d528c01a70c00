// Weights to the device and back: chunks of whole rows of tiles go through two page-locked buffers, so that the host
// copies one while the bus moves the other, and the GPU changes the order (repack.cu).
#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <string>

#include "arguments.hpp"
#include "blockquant/cuda.hpp"
#include "device_matrix.hpp"

namespace bq::cuda {

device_matrix::device_matrix() noexcept = default;
device_matrix::~device_matrix() = default;
device_matrix::device_matrix(device_matrix&& other) noexcept = default;
device_matrix& device_matrix::operator=(device_matrix&& other) noexcept = default;
device_matrix::device_matrix(std::unique_ptr<contents> c) noexcept : contents_(std::move(c)) {}

type device_matrix::id() const noexcept { return contents_ ? contents_->id : type::f32; }
tier device_matrix::tier() const noexcept { return contents_ ? contents_->tier : bq::tier::exact; }
std::int64_t device_matrix::rows() const noexcept { return contents_ ? contents_->rows : 0; }
std::int64_t device_matrix::cols() const noexcept { return contents_ ? contents_->cols : 0; }
const device_matrix::contents& device_matrix::view() const noexcept { return *contents_; }

std::uint64_t device_matrix::bytes() const noexcept {
  if (!contents_) return 0;
  const contents& c = *contents_;
  if (c.tier == bq::tier::fast) {
    return static_cast<std::uint64_t>(byte_matrix::atom_count(c.rows, c.cols) * byte_matrix::atom_bytes) +
           static_cast<std::uint64_t>(byte_matrix::scale_count(c.rows, c.cols)) * sizeof(float);
  }
  return static_cast<std::uint64_t>(c.row_tiles) *
         (static_cast<std::uint64_t>(c.col_tiles * c.tile_bytes) + tile_rows * sizeof(float));
}

namespace {

constexpr std::size_t chunk_bytes = std::size_t{16} << 20;

struct event {
  cudaEvent_t handle = nullptr;
  event() { check(cudaEventCreateWithFlags(&handle, cudaEventDisableTiming), "cudaEventCreate"); }
  ~event() { cudaEventDestroy(handle); }
  event(const event&) = delete;
  event& operator=(const event&) = delete;
  void record(stream s) { check(cudaEventRecord(handle, s), "cudaEventRecord"); }
  void wait() { check(cudaEventSynchronize(handle), "cudaEventSynchronize"); }
};

void copy(std::byte* to, const std::byte* from, std::size_t bytes, executor* threads) {
  constexpr std::size_t piece = std::size_t{1} << 20;
  if (!threads || bytes <= piece) {
    std::memcpy(to, from, bytes);
    return;
  }
  threads->run((bytes + piece - 1) / piece, [&](std::size_t i) {
    std::memcpy(to + i * piece, from + i * piece, std::min(piece, bytes - i * piece));
  });
}

// Chunks of whole rows of tiles: fn(chunk, first row, rows).
template <class Visit>
void for_each_chunk(std::int64_t rows, std::uint64_t bytes_per_row, Visit visit) {
  constexpr std::int64_t most = std::int64_t{1} << 19;  // rows; a grid has fewer than 2^16 rows of tiles
  const auto fitting = static_cast<std::int64_t>(chunk_bytes / bytes_per_row) / tile_rows * tile_rows;
  const std::int64_t step = std::clamp(fitting, std::int64_t{tile_rows}, most);
  for (std::int64_t first = 0, chunk = 0; first < rows; first += step, ++chunk) {
    visit(static_cast<std::size_t>(chunk), first, std::min(step, rows - first));
  }
}

}  // namespace

struct transfer::buffers {
  struct slot {
    pinned_bytes host;
    device_array<unsigned char> device;
    std::size_t size = 0;
    event done;  // with both

    void reserve(std::size_t bytes) {
      if (size >= bytes) return;
      size = 0;
      device = allocate<unsigned char>(bytes);
      void* p = nullptr;
      check(cudaMallocHost(&p, bytes), "cudaMallocHost", {static_cast<std::int64_t>(bytes)});
      host.reset(static_cast<std::byte*>(p));
      size = bytes;
    }
  };

  executor* threads;
  stream s;
  std::array<slot, 2> slots{};

  buffers(executor* e, stream queue) : threads(e), s(queue) {}
  void reserve(std::size_t bytes) {
    for (slot& one : slots) one.reserve(bytes);
  }
};

transfer::transfer(executor* threads, stream s) : buffers_(std::make_unique<buffers>(threads, s)) {
  buffers_->reserve(chunk_bytes);
}
transfer::~transfer() = default;

device_matrix transfer::upload(const matrix& w, bq::tier tier) {
  require_tier(tier);
  const std::uint64_t bytes_per_row = row_bytes(w.id, w.cols);  // checks type and cols
  const repacker& packer = repacker_of(w.id);
  if (packer.activation_only) {
    throw error({.code = errc::unsupported_type,
                 .message = "a type for activations cannot hold weights",
                 .found = std::string(info(w.id).name)});
  }
  if (w.rows < 1 || w.blocks.size() / bytes_per_row != static_cast<std::uint64_t>(w.rows) ||
      w.blocks.size() % bytes_per_row != 0) {
    throw error({.code = errc::bad_shape,
                 .message = "the blocks are not those of the matrix",
                 .expected = "1 row or more of " + std::to_string(bytes_per_row) + " bytes each",
                 .found = std::to_string(w.rows) + " rows, " + std::to_string(w.blocks.size()) + " bytes"});
  }
  const std::int64_t row_tiles = ceil_div(w.rows, tile_rows), col_tiles = ceil_div(w.cols, tile_cols);
  const std::int64_t tile_row_bytes = col_tiles * packer.tile_bytes;
  const bool fast = tier == bq::tier::fast;
  const std::int64_t bytes =
      fast ? byte_matrix::atom_count(w.rows, w.cols) * byte_matrix::atom_bytes : row_tiles * tile_row_bytes;
  const std::int64_t floats = fast ? byte_matrix::scale_count(w.rows, w.cols) : row_tiles * tile_rows;
  auto c = std::make_unique<device_matrix::contents>(
      device_matrix::contents{.id = w.id,
                              .tier = tier,
                              .device = current_product_device(),
                              .rows = w.rows,
                              .cols = w.cols,
                              .row_tiles = row_tiles,
                              .col_tiles = col_tiles,
                              .tile_bytes = packer.tile_bytes,
                              .tiles = allocate<unsigned char>(static_cast<std::size_t>(bytes)),
                              .factors = allocate<float>(static_cast<std::size_t>(floats))});

  buffers& b = *buffers_;
  b.reserve(tile_rows * bytes_per_row);
  for_each_chunk(w.rows, bytes_per_row, [&](std::size_t chunk, std::int64_t first, std::int64_t rows) {
    buffers::slot& slot = b.slots[chunk % b.slots.size()];
    slot.done.wait();
    const std::size_t size = static_cast<std::size_t>(rows) * bytes_per_row;
    copy(slot.host.get(), w.blocks.data() + static_cast<std::size_t>(first) * bytes_per_row, size, b.threads);
    check(cudaMemcpyAsync(slot.device.get(), slot.host.get(), size, cudaMemcpyHostToDevice, b.s), "cudaMemcpyAsync",
          {rows, w.cols});
    if (fast) {
      packer.recode(slot.device.get(), first, rows, w.cols, c->as_bytes(), b.s);
    } else {
      packer.pack(slot.device.get(), rows, w.cols, c->tiles.get() + first / tile_rows * tile_row_bytes,
                  c->factors.get() + first, b.s);
    }
    slot.done.record(b.s);
  });
  check(cudaStreamSynchronize(b.s), "upload", {w.rows, w.cols});
  return device_matrix(std::move(c));
}

void transfer::download(const device_matrix& w, std::span<std::byte> blocks) {
  if (w.tier() == bq::tier::fast) {
    throw error({.code = errc::invalid_argument,
                 .message = "weights of the fast tier are not those of the file",
                 .expected = "weights uploaded for tier::exact"});
  }
  const std::uint64_t bytes_per_row = row_bytes(w.id(), w.cols());
  if (blocks.size() != static_cast<std::uint64_t>(w.rows()) * bytes_per_row) {
    throw error({.code = errc::bad_shape,
                 .message = "no room for the matrix's blocks",
                 .expected = std::to_string(static_cast<std::uint64_t>(w.rows()) * bytes_per_row) + " bytes",
                 .found = std::to_string(blocks.size())});
  }
  const device_matrix::contents& c = w.view();
  const repacker& packer = repacker_of(c.id);
  buffers& b = *buffers_;
  b.reserve(tile_rows * bytes_per_row);
  for_each_chunk(c.rows, bytes_per_row, [&](std::size_t chunk, std::int64_t first, std::int64_t rows) {
    buffers::slot& slot = b.slots[chunk % b.slots.size()];
    const std::size_t bytes = static_cast<std::size_t>(rows) * bytes_per_row;
    packer.unpack(c.tiles.get() + first / tile_rows * c.col_tiles * c.tile_bytes, rows, c.cols, slot.device.get(), b.s);
    check(cudaMemcpyAsync(slot.host.get(), slot.device.get(), bytes, cudaMemcpyDeviceToHost, b.s), "cudaMemcpyAsync",
          {rows, c.cols});
    slot.done.record(b.s);
    slot.done.wait();
    copy(blocks.data() + static_cast<std::size_t>(first) * bytes_per_row, slot.host.get(), bytes, b.threads);
  });
}

}  // namespace bq::cuda
