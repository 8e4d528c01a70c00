// Weights and activations of the fast tier: signed bytes [lines, cols] with a scale for 256 columns of each line (a
// row of weights, or a token): value = scale * byte, scale = largest magnitude / 127. In atoms of 8 lines x 128
// columns, as tensor cores read both operands from shared memory:
//
//   atoms    [cols / 128][lines / 8] of 1024 bytes: 128 of each line, whose 16 bytes p = 0..7 are at p ^ (line % 8);
//            columns are rounded up to 256 with zeros; lines to 8, whose bytes are never written nor used
//   scales   [cols / 256][lines rounded up to 8] f32
//
// Host and device.
#pragma once
#include "tile.hpp"

namespace bq::cuda {

struct byte_matrix {
  unsigned char* atoms;
  float* scales;
  int lines, slices;  // of 256 columns

  static constexpr int slice_cols = 256, atom_lines = 8, atom_cols = 128, atom_bytes = atom_lines * atom_cols;
  static constexpr int slice_atoms = slice_cols / atom_cols;

  BQ_HD static constexpr std::int64_t atom_count(std::int64_t lines, std::int64_t cols) {
    return ceil_div(lines, atom_lines) * ceil_div(cols, slice_cols) * slice_atoms;
  }
  BQ_HD static constexpr std::int64_t scale_count(std::int64_t lines, std::int64_t cols) {
    return atom_count(lines, cols) / slice_atoms * atom_lines;
  }

  BQ_HD int line_atoms() const { return static_cast<int>(ceil_div(lines, atom_lines)); }
  // The first of the atoms of 128 columns; they follow one another.
  BQ_HD unsigned char* atom(int chunk, int line_atom) const {
    return atoms + (std::int64_t{chunk} * line_atoms() + line_atom) * atom_bytes;
  }
  BQ_HD float* scale(int slice, int line) const {
    return scales + std::int64_t{slice} * line_atoms() * atom_lines + line;
  }
  // Of a line and column; those of 16 columns follow one another.
  BQ_HD unsigned char* byte(int line, int col) const {
    const int in_atom = line % atom_lines, piece = col % atom_cols / 16;
    return atom(col / atom_cols, line / atom_lines) + in_atom * atom_cols + (piece ^ in_atom) * 16 + col % 16;
  }
};

}  // namespace bq::cuda
