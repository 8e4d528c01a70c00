// Whose a tensor type id is, and how large its blocks are, for ids that formats/ does not define. Ids collide between
// mainline ggml and its forks (36 was IQ4_NL_4_4 there and is I2_S in ik_llama.cpp); mainline's meaning is taken, the
// other one named. Sources: ggml.h (enum ggml_type, with the ids it gave up) and ggml-common.h of mainline; the id
// ranges of ik_llama.cpp.
#include "foreign.hpp"

#include <algorithm>
#include <string>

#include "blockquant/gguf.hpp"

namespace bq::gguf {

namespace {

// For types of 256 weights: codebook formats. For types of one: plain numbers, in the file's byte order.
constexpr copied_type copied_types[] = {
    {16, "iq2_xxs", 256, 66}, {17, "iq2_xs", 256, 74}, {18, "iq3_xxs", 256, 98}, {19, "iq1_s", 256, 50},
    {21, "iq3_s", 256, 110},  {22, "iq2_s", 256, 82},  {29, "iq1_m", 256, 56},   {41, "q1_0", 128, 18},
    {42, "q2_0", 64, 18},     {24, "i8", 1, 1},        {25, "i16", 1, 2},        {26, "i32", 1, 4},
    {27, "i64", 1, 8},        {28, "f64", 1, 8},
};

struct removed_type {
  std::uint32_t id;
  const char* name;
};

constexpr removed_type removed_types[] = {
    {4, "Q4_2"},      {5, "Q4_3"},        {31, "Q4_0_4_4"},   {32, "Q4_0_4_8"},
    {33, "Q4_0_8_8"}, {36, "IQ4_NL_4_4"}, {37, "IQ4_NL_4_8"}, {38, "IQ4_NL_8_8"},
};

struct fork_range {
  std::uint32_t first, last;
  const char* owner;
};

constexpr fork_range fork_ranges[] = {{133, 158, "ik_llama.cpp"}, {202, 399, "ik_llama.cpp"}};

struct fork_name {
  std::uint32_t id;
  const char* name;
};

constexpr fork_name fork_names[] = {{137, "IQ2_K"}};

template <class Table>
auto find_id(const Table& table, std::uint32_t id) {
  const auto it = std::ranges::find_if(table, [id](const auto& row) { return row.id == id; });
  return it == std::end(table) ? nullptr : &*it;
}

}  // namespace

const copied_type* find_copied(std::uint32_t id) noexcept { return find_id(copied_types, id); }

type_label label(std::uint32_t type_id) {
  if (const type_info* ours = find_type(static_cast<type>(type_id))) {
    return {std::string(ours->name), "ggml", ours->block_size, ours->block_bytes, false};
  }
  if (const copied_type* t = find_copied(type_id)) return {t->name, "ggml", t->block_size, t->block_bytes, false};
  if (const removed_type* t = find_id(removed_types, type_id)) return {t->name, "ggml", 0, 0, true};
  type_label out;
  const fork_name* known = find_id(fork_names, type_id);
  out.name = known ? known->name : "type " + std::to_string(type_id);
  for (const fork_range& r : fork_ranges) {
    if (type_id >= r.first && type_id <= r.last) out.owner = r.owner;
  }
  return out;
}

}  // namespace bq::gguf
