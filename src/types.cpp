// The type table: format_table over the registry, and look-ups in it.
#include "blockquant/types.hpp"

#include <algorithm>
#include <cctype>
#include <limits>
#include <string>

#include "blockquant/error.hpp"
#include "format_table.hpp"
#include "formats/registry.hpp"

namespace bq {

namespace {

constexpr auto& rows = format_table<all_formats>::rows;

constexpr auto infos = [] {
  std::array<type_info, rows.size()> out{};
  for (std::size_t i = 0; i < rows.size(); ++i) out[i] = rows[i].info;
  return out;
}();

bool same_name(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return std::tolower(static_cast<unsigned char>(c)); };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return lower(x) == lower(y); });
}

}  // namespace

std::span<const type_info> types() noexcept { return infos; }

const format_row* find_row(type id) noexcept {
  const auto it = std::find_if(rows.begin(), rows.end(), [&](const format_row& r) { return r.info.id == id; });
  return it == rows.end() ? nullptr : &*it;
}

const format_row& row_of(type id) {
  if (const format_row* row = find_row(id)) return *row;
  throw error({.code = errc::unknown_type,
               .message = "the library does not compute with this type",
               .found = "type id " + std::to_string(static_cast<std::uint32_t>(id)),
               .advice = "bq::types() lists the types"});
}

const type_info* find_type(type id) noexcept {
  const auto it = std::find_if(infos.begin(), infos.end(), [&](const type_info& t) { return t.id == id; });
  return it == infos.end() ? nullptr : &*it;
}

const type_info* find_type(std::string_view name) noexcept {
  const auto it = std::find_if(infos.begin(), infos.end(), [&](const type_info& t) { return same_name(t.name, name); });
  return it == infos.end() ? nullptr : &*it;
}

const type_info& info(type id) { return row_of(id).info; }

bool can_quantize(type id, std::int64_t cols) noexcept {
  const format_row* row = find_row(id);
  return row && cols > 0 && cols % row->info.block_size == 0;
}

std::uint64_t row_bytes(type id, std::int64_t cols) {
  const type_info& t = info(id);
  if (cols <= 0 || cols % t.block_size != 0) {
    throw error({.code = errc::bad_shape,
                 .message = "a row cannot be divided into blocks of " + std::string(t.name),
                 .expected = "a positive multiple of " + std::to_string(t.block_size) + " columns",
                 .found = std::to_string(cols)});
  }
  const std::uint64_t blocks = static_cast<std::uint64_t>(cols) / t.block_size;
  if (blocks > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) / t.block_bytes) {
    throw error({.code = errc::out_of_range,
                 .message = "a row of " + std::string(t.name) + " does not fit 63 bits",
                 .found = std::to_string(cols) + " columns"});
  }
  return blocks * t.block_bytes;
}

}  // namespace bq
