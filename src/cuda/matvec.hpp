// The products of few tokens (matvec.cuh): what a kernel is given, how its work is divided, and which kernel.
#pragma once
#include <algorithm>

#include "device_matrix.hpp"
#include "prepared.hpp"

namespace bq::cuda {

// How one launch divides its work and the shared memory of a thread block.
struct matvec_plan {
  int blocks, warps;
  int least_tiles, longer_blocks;   // rows of tiles of a block; how many blocks, the first ones, have one more
  int sections;                     // of the columns
  int batch_tiles, batch_sections;  // whose partial sums meet in shared memory at a time
  int share;                        // pieces of each warp, if warps share sections; else 0
  int shared_bytes;
};

// What a plan depends on.
struct matvec_shape {
  int warp_bytes;  // shared memory of a warp besides its notes
  int row_tiles, col_tiles, tokens;
};

// What a warp keeps in shared memory beside weights and scales. Of a batch it has at most so many runs: rows of tiles x
// sections, two of which may be parts.
struct matvec_notes {
  static constexpr int most_runs = 12;
  std::uint64_t barriers[2];    // of the ring
  float factors[2][tile_rows];  // of the rows of this run and the next
  // Pieces of one row of tiles and one section that follow one another.
  struct alignas(8) run {
    int first;   // of the pieces, among those of the batch's rows
    int packed;  // the row of tiles in the batch; from bits 20 on what the run does, from bits 24 on how many pieces

    static constexpr int opens = 1, closes = 2;
    BQ_HD int row() const { return packed & 0xfffff; }
    BQ_HD int does() const { return packed >> 20 & 3; }
    BQ_HD int pieces() const { return packed >> 24; }
  } runs[most_runs];
};

matvec_plan plan_matvec(const matvec_shape& shape, const product_device& device);

// Division by a number from 1 to 2^15 of numbers below 2^15.
struct fraction {
  unsigned part;
  fraction() = default;
  explicit fraction(std::int64_t divisor) : part((1u << 31) / static_cast<unsigned>(divisor) + 1) {}
  BQ_HD int operator()(int i) const {
    return static_cast<int>(std::uint64_t{part} * (2u * static_cast<unsigned>(i)) >> 32);
  }
};

struct matvec_call {
  const unsigned char* tiles;  // [row_tiles][col_tiles]
  const float* factors;        // [row_tiles * 16]
  prepared x;
  float* y;  // [tokens, rows]
  std::int64_t rows;
  int least_tiles, longer_blocks, col_tiles;
  int batch_tiles, batch_sections, sections;
  int share;                      // pieces of each warp, if warps share sections; else 0
  fraction by_cols, by_sections;  // divisions by col_tiles and sections
};

// What one warp multiplies of a batch, in order: the i-th run is found by lane i. Host and device.
struct matvec_runs {
  using run = matvec_notes::run;
  int count;
  run* memory;

  BQ_HD run operator[](int i) const { return memory[i]; }

  // Whole sections; warps take turns: at the same time they are at the same section, whose activations come from the
  // first-level cache.
  BQ_HD void take_turns(const matvec_call& c, int tiles, int section, int sections, int warp, int warps, int lane) {
    const int units = tiles * sections;
    count = warp < units ? (units - warp + warps - 1) / warps : 0;
    const int unit = warp + std::min(lane, count) * warps, in_section = unit / tiles,
              in_tile = unit - in_section * tiles;
    describe(c, lane, in_tile, section, in_section, 0, section_tiles, 0);
  }

  // Equal ranges of the pieces of all rows, one after the other, for few activations. Of a section that two warps
  // share, the first one's part is the first of its runs, and the second one's the last: then the sums to go on from
  // are there.
  BQ_HD void take_shares(const matvec_call& c, int tiles, int warp, int lane) {
    const int all = tiles * c.col_tiles, sections = c.batch_sections;
    const int begin = std::min(warp * c.share, all), end = std::min(begin + c.share, all);
    const int first_row = c.by_cols(begin), last_row = c.by_cols(end);
    const int first = begin - first_row * c.col_tiles, last = end - last_row * c.col_tiles;
    const int closing = first % section_tiles, opening = last % section_tiles;
    const int unit = first_row * sections + (first + section_tiles - 1) / section_tiles;  // the first whole one
    const int whole = last_row * sections + last / section_tiles - unit, before = opening > 0;
    count = begin < end ? before + whole + (closing > 0) : 0;
    const int of_whole = lane - before;
    if (of_whole < 0) {
      describe(c, lane, last_row, 0, last / section_tiles, 0, opening, run::opens);
    } else if (of_whole < whole) {
      const int in_tile = c.by_sections(unit + of_whole);
      describe(c, lane, in_tile, 0, unit + of_whole - in_tile * sections, 0, section_tiles, 0);
    } else {
      describe(c, lane, first_row, 0, first / section_tiles, closing, section_tiles, run::closes);
    }
  }

 private:
  // Pieces [from, to) of a section, as far as there are columns.
  BQ_HD void describe(const matvec_call& c, int lane, int in_tile, int section, int in_section, int from, int to,
                      int does) {
    const int column = (section + in_section) * section_tiles;
    const int pieces = std::min(to, c.col_tiles - column) - from;
    if (lane < count) {
      memory[lane] = {in_tile * c.col_tiles + column + from, in_tile | does << 20 | pieces << 24};
    }
  }
};

inline constexpr int most_kernel_tokens = 16;   // of matvec.cuh: more cost more than another reading of the weights
inline constexpr int matvec_warps = 16;         // of a thread block, which fills a multiprocessor
inline constexpr int most_prepared_beside = 4;  // tokens: for what prepares them, products leave multiprocessors free
inline constexpr int most_matvec_tokens = 64, token_stride = tile_rows + 4;  // floats; without conflicts of banks

// One for each format, made in its unit (format.cu.in).
template <any_format F>
struct matvec_kernels {
  static void launch(const device_matrix::contents& w, const prepared& x, float* y, stream s);
};

}  // namespace bq::cuda
