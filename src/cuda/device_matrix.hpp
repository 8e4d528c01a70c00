// What a device_matrix owns and kernels are given: tiles (tile.hpp) and a factor for every row (fragment.cuh), or the
// bytes of the fast tier.
#pragma once
#include "blockquant/cuda.hpp"
#include "byte_matrix.hpp"
#include "check.hpp"
#include "tile.hpp"

namespace bq::cuda {

// What launches depend on; asked for once, when weights are uploaded.
struct product_device {
  int multiprocessors;
  int shared_bytes;   // that a thread block can have
  bool starts_early;  // has programmatic dependent launch (launch.hpp)
  bool has_wgmma;     // and this build has code for it
};
product_device current_product_device();
bool current_device_has_wgmma();

struct device_matrix::contents {
  type id;
  bq::tier tier;
  product_device device;
  std::int64_t rows, cols;
  std::int64_t row_tiles, col_tiles, tile_bytes;
  device_array<unsigned char> tiles;  // [row_tiles][col_tiles][tile_bytes]; of the fast tier atoms
  device_array<float> factors;        // [row_tiles * 16]: f, a power of two; 1 for rows that are not there; or scales

  byte_matrix as_bytes() const {  // of the fast tier
    return {tiles.get(), factors.get(), static_cast<int>(rows), static_cast<int>(col_tiles)};
  }
};

// The kernels that move blocks of one format into tiles and back (repack.cu).
struct repacker {
  type id;
  int block_size, tile_bytes;
  bool activation_only;
  // blocks: `rows` rows of cols weights; tiles: [ceil(rows / 16)][col_tiles]; factors: of those rows, rounded up.
  void (*pack)(const unsigned char* blocks, std::int64_t rows, std::int64_t cols, unsigned char* tiles, float* factors,
               stream s);
  // The same blocks for the fast tier: rows first, first + 1, ... of `to`.
  void (*recode)(const unsigned char* blocks, std::int64_t first, std::int64_t rows, std::int64_t cols,
                 const byte_matrix& to, stream s);
  void (*unpack)(const unsigned char* tiles, std::int64_t rows, std::int64_t cols, unsigned char* blocks, stream s);
};

const repacker& repacker_of(type id);  // a type of the registry

}  // namespace bq::cuda
