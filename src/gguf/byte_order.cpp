// Byte order of blocks: derived from the format for types that the library computes with; plain numbers otherwise.
#include "byte_order.hpp"

#include "blockquant/types.hpp"
#include "foreign.hpp"
#include "src/format_table.hpp"

namespace bq::gguf {

bool swap_blocks(std::uint32_t type_id, std::span<std::byte> blocks) noexcept {
  if (const format_row* row = find_row(static_cast<type>(type_id))) {
    for (std::size_t at = 0; at < blocks.size(); at += row->info.block_bytes) row->swap_block(blocks.data() + at);
    return true;
  }
  const copied_type* other = find_copied(type_id);
  if (!other || other->block_size != 1) return false;
  swap_units(blocks, other->block_bytes);
  return true;
}

}  // namespace bq::gguf
