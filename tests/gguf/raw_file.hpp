// GGUF files byte by byte, right or wrong: an encoder of its own, so that the tests do not trust the library's.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace test {

struct raw_file {
  std::string bytes;
  bool big_endian = false;

  template <class T>
  raw_file& number(T x) {
    char raw[sizeof(T)];
    std::memcpy(raw, &x, sizeof(T));
    if (big_endian) std::reverse(raw, raw + sizeof(T));
    bytes.append(raw, sizeof(T));
    return *this;
  }
  raw_file& u8(std::uint8_t x) { return number(x); }
  raw_file& u16(std::uint16_t x) { return number(x); }
  raw_file& u32(std::uint32_t x) { return number(x); }
  raw_file& u64(std::uint64_t x) { return number(x); }
  raw_file& text(std::string_view s) { return u64(s.size()).raw(s); }
  raw_file& raw(std::string_view s) {
    bytes += s;
    return *this;
  }
  raw_file& zeros(std::size_t n) {
    bytes.append(n, '\0');
    return *this;
  }
  raw_file& pad(std::size_t alignment = 32) { return zeros((alignment - bytes.size() % alignment) % alignment); }

  raw_file& header(std::uint64_t tensors, std::uint64_t keys, std::uint32_t version = 3) {
    return raw("GGUF").u32(version).u64(tensors).u64(keys);
  }
  // A key and its value's type; the value follows.
  raw_file& key(std::string_view name, std::uint32_t type) { return text(name).u32(type); }
  raw_file& array(std::string_view name, std::uint32_t element, std::uint64_t count) {
    return key(name, 9).u32(element).u64(count);
  }
  raw_file& alignment(std::uint32_t x) { return key("general.alignment", 4).u32(x); }
  raw_file& tensor(std::string_view name, const std::vector<std::uint64_t>& ne, std::uint32_t type,
                   std::uint64_t offset) {
    text(name).u32(static_cast<std::uint32_t>(ne.size()));
    for (const std::uint64_t n : ne) u64(n);
    return u32(type).u64(offset);
  }
};

// Of the types that most tests need.
inline constexpr std::uint32_t f32 = 0, q4_0 = 2, i8 = 24;

// A small correct file: keys of several types and three tensors, the last one unpadded.
inline std::string small_file(bool big_endian = false, std::uint32_t version = 3) {
  raw_file f;
  f.big_endian = big_endian;
  f.header(3, 5, version);
  f.key("general.architecture", 8).text("llama");
  f.key("llama.block_count", 4).u32(2);
  f.key("a.flag", 7).u8(1);
  f.array("a.names", 8, 3).text("x").text("").text("yz");
  f.array("a.numbers", 2, 3).u16(1).u16(0xabcd).u16(3);
  f.tensor("token_embd.weight", {8, 2}, f32, 0);
  f.tensor("blk.0.attn_q.weight", {32, 2}, q4_0, 64);
  f.tensor("output.weight", {5}, i8, 128);
  f.pad();
  for (int i = 0; i < 16; ++i) f.number(static_cast<float>(i) / 4);
  for (int block = 0; block < 2; ++block) f.u16(static_cast<std::uint16_t>(0x3c00 + block)).raw("0123456789abcdef");
  f.pad();
  return f.raw("12345").bytes;
}
inline constexpr std::size_t small_file_tensors = 3;

}  // namespace test
