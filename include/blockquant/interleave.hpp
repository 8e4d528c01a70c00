// Weights laid out for products of few tokens: the rows of a group take turns, a 32-bit word of each, so that one load
// brings the same word of all of them. Lossless, the same bits per weight (rows are filled up to whole words and
// groups), and products give the same bits as from the file's layout. Worth its copy where a matrix is read once for
// every token: the file's layout has to be interleaved on the way, which takes up to half of the time of such a
// product.
#pragma once
#include <cstddef>
#include <span>

#include "matmul.hpp"

namespace bq {

// What interleave() writes; 0 for float types, which are multiplied as they are. Of `options`, isa counts: groups have
// as many rows as its vectors have lanes. Throws as matmul().
std::size_t interleaved_bytes(const matrix& w, const matmul_options& options = {});

// Writes w, in the file's layout, to `out`, of interleaved_bytes(w, options) bytes at any alignment (64 is best), and
// returns the view of it; of float types it returns w. Products take it with the same instruction set only. Of
// `options`, threads and isa count. Throws as matmul(), and errc::bad_shape for another size of `out`.
matrix interleave(const matrix& w, std::span<std::byte> out, const matmul_options& options = {});

}  // namespace bq
