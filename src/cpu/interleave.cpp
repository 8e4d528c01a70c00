// interleave: groups of rows as tasks.
#include "blockquant/interleave.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <string>

#include "blockquant/error.hpp"
#include "kernels.hpp"
#include "row_layout.hpp"
#include "src/tasks.hpp"

namespace bq {

namespace {

constexpr std::int64_t groups_per_task = 8;
constexpr std::size_t most_lanes = 16;

void check_size(const char* what, std::size_t expected, std::size_t found) {
  if (found == expected) return;
  throw error({.code = errc::bad_shape,
               .message = std::string(what) + " have another size than the matrix",
               .expected = std::to_string(expected),
               .found = std::to_string(found)});
}

}  // namespace

std::size_t interleaved_bytes(const matrix& w, const matmul_options& options) {
  const auto lanes = static_cast<std::uint64_t>(cpu::choose(options.isa).get().lanes);
  const std::uint64_t padded = (row_bytes(w.id, w.cols) + 3) / 4 * 4;
  constexpr std::uint64_t most = std::numeric_limits<std::int64_t>::max();
  if (w.rows < 0 || static_cast<std::uint64_t>(w.rows) + lanes > most / padded) {
    throw error({.code = errc::bad_shape,
                 .message = "a matrix has no such number of rows",
                 .subject = "rows",
                 .expected = "0 or more, within 63 bits",
                 .found = std::to_string(w.rows)});
  }
  if (!info(w.id).quantized) return 0;
  return (static_cast<std::uint64_t>(w.rows) + lanes - 1) / lanes * lanes * padded;
}

matrix interleave(const matrix& w, std::span<std::byte> out, const matmul_options& options) {
  check_size("the interleaved rows", interleaved_bytes(w, options), out.size());
  if (!info(w.id).quantized) return w;
  check_size("the blocks", static_cast<std::size_t>(w.rows) * row_bytes(w.id, w.cols), w.blocks.size());
  const cpu::kernels& kernels = cpu::choose(options.isa).get();
  const cpu::row_layout from(w);
  const matrix interleaved{w.id, w.rows, w.cols, out, kernels.lanes};
  const cpu::row_layout to(interleaved);
  const std::int64_t lanes = kernels.lanes, groups = (w.rows + lanes - 1) / lanes;
  for_each_task(options.threads, (groups + groups_per_task - 1) / groups_per_task, [&](std::size_t i) {
    const std::int64_t first = static_cast<std::int64_t>(i) * groups_per_task;
    for (std::int64_t g = first; g < std::min(first + groups_per_task, groups); ++g) {
      std::array<const unsigned char*, most_lanes> rows;  // the last row stands in for those beyond it
      for (std::int64_t r = 0; r < lanes; ++r)
        rows[static_cast<std::size_t>(r)] = from.of(std::min(g * lanes + r, w.rows - 1));
      kernels.interleave(rows.data(), from.bytes, reinterpret_cast<unsigned char*>(out.data()) + g * lanes * to.apart);
    }
  });
  return interleaved;
}

}  // namespace bq
