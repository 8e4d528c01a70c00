// The malformed files, in the order of the format: header, strings, values, keys, tensor infos, data.
#include "malformed.hpp"

#include <limits>

#include "raw_file.hpp"

namespace test {

namespace {

using bq::errc;

constexpr std::uint64_t max_u64 = std::numeric_limits<std::uint64_t>::max();

raw_file file(std::uint64_t tensors, std::uint64_t keys) { return raw_file().header(tensors, keys); }

// One key; `value` appends its type and value.
template <class Value>
std::function<std::string()> with_value(Value value) {
  return [value] {
    raw_file f = file(0, 1);
    f.text("a.key");
    value(f);
    return f.pad().bytes;
  };
}

// One tensor of the given shape, type and offset, with `data` bytes of data.
std::function<std::string()> with_tensor(std::vector<std::uint64_t> ne, std::uint32_t type, std::uint64_t offset,
                                         std::size_t data) {
  return [=] { return file(1, 0).tensor("a", ne, type, offset).pad().zeros(data).bytes; };
}

// One tensor whose info starts with n_dims and ends with what follows.
std::function<std::string()> with_name(std::string name) {
  return [=] { return file(1, 0).tensor(name, {8}, f32, 0).pad().zeros(32).bytes; };
}

std::function<std::string()> with_alignment(std::function<void(raw_file&)> value) {
  return [=] {
    raw_file f = file(0, 1);
    f.text("general.alignment");
    value(f);
    return f.pad().bytes;
  };
}

std::function<std::string()> bytes(std::string_view s) {
  return [text = std::string(s)] { return text; };
}

// `count` keys with one-byte values; `name` gives the name of key i.
template <class Name>
std::string many_keys(std::size_t count, Name name) {
  raw_file f = file(0, count);
  for (std::size_t i = 0; i < count; ++i) f.key(name(i), 0).u8(1);
  return f.pad().bytes;
}

// `count` empty tensors.
template <class Name>
std::string many_tensors(std::size_t count, Name name) {
  raw_file f = file(count, 0);
  for (std::size_t i = 0; i < count; ++i) f.tensor(name(i), {0}, f32, 0);
  return f.pad().bytes;
}

using table = std::vector<malformed_file>;

void add_headers(table& t) {
  t.insert(
      t.end(),
      {
          {"empty file", errc::truncated, bytes("")},
          {"one byte of the magic", errc::truncated, bytes("G")},
          {"three bytes of the magic", errc::truncated, bytes("GGU")},
          {"the magic alone", errc::truncated, bytes("GGUF")},
          {"half a version", errc::truncated, bytes(std::string_view("GGUF\3\0", 6))},
          {"version alone", errc::truncated, [] { return raw_file().raw("GGUF").u32(3).bytes; }},
          {"one count", errc::truncated, [] { return raw_file().raw("GGUF").u32(3).u64(0).bytes; }},
          {"one foreign byte", errc::not_gguf, bytes("X")},
          {"GGML", errc::not_gguf, [] { return raw_file().u32(0x67676d6c).zeros(64).bytes; }},
          {"GGMF", errc::not_gguf, [] { return raw_file().u32(0x67676d66).u32(1).zeros(64).bytes; }},
          {"GGJT", errc::not_gguf, [] { return raw_file().u32(0x67676a74).u32(3).zeros(64).bytes; }},
          {"reversed magic", errc::not_gguf, [] { return raw_file().raw("FUGG").u32(3).zeros(16).bytes; }},
          {"Git LFS pointer", errc::not_gguf,
           bytes("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")},
          {"HTML page", errc::not_gguf, bytes("\n<!DOCTYPE html>\n<html><head><title>404</title></head></html>\n")},
          {"zip archive", errc::not_gguf, bytes(std::string_view("PK\3\4\24\0\0\0\10\0", 10))},
          {"pickle", errc::not_gguf, bytes("\x80\2}q\1.")},
          {"safetensors", errc::not_gguf,
           [] { return raw_file().u64(64).raw("{\"a\":{\"dtype\":\"F32\"}}").zeros(64).bytes; }},
          {"zeros", errc::not_gguf, [] { return raw_file().zeros(4096).bytes; }},
          {"text", errc::not_gguf, bytes("It was a dark and stormy night.\n")},
          {"second half of a split download", errc::not_gguf, [] { return small_file().substr(100); }},
          {"little-endian file with a swapped version", errc::bad_count,
           [] { return raw_file().raw("GGUF").u32(0x03000000).u64(1).u64(1).zeros(200).bytes; }},
          {"version in neither order", errc::bad_byte_order, [] { return raw_file().header(0, 0, 0x01020304).bytes; }},
      });
  for (const std::uint32_t version : {0u, 1u, 4u, 0xffffu, 0x80000000u, 0x01000000u, 0x04000000u}) {
    t.push_back({"version " + std::to_string(version), errc::bad_version,
                 [=] { return raw_file().header(0, 0, version).zeros(64).bytes; }});
  }
  for (const std::uint64_t count : {std::uint64_t{8}, std::uint64_t{1} << 31, std::uint64_t{1} << 60,
                                    std::uint64_t{1} << 63, max_u64 / 25 + 1, max_u64 / 14 + 1, max_u64}) {
    t.push_back({std::to_string(count) + " tensors", errc::bad_count, [=] { return file(count, 0).zeros(100).bytes; }});
    t.push_back({std::to_string(count) + " keys", errc::bad_count, [=] { return file(0, count).zeros(100).bytes; }});
  }
  t.push_back(
      {"counts that only together exceed the file", errc::bad_count, [] { return file(4, 4).zeros(120).bytes; }});
}

void add_strings(table& t) {
  const auto key = [](std::string name) { return [=] { return file(0, 1).key(name, 0).u8(1).pad().bytes; }; };
  t.insert(
      t.end(),
      {
          {"key longer than the file", errc::bad_string, [] { return file(0, 1).u64(1000).zeros(64).bytes; }},
          {"key of 2^64-1 bytes", errc::bad_string, [] { return file(0, 1).u64(max_u64).zeros(64).bytes; }},
          {"string longer than the file by one", errc::bad_string,
           [] { return file(0, 1).key("a.key", 8).u64(33).zeros(32).bytes; }},
          {"string of 2^64-1 bytes", errc::bad_string,
           with_value([](raw_file& f) { f.u32(8).u64(max_u64).zeros(32); })},
          {"empty key", errc::bad_key, key("")},
          {"key with a zero byte", errc::bad_key, key(std::string("a\0b", 3))},
          {"key of 65536 bytes", errc::bad_key, key(std::string(65536, 'k'))},
          {"tensor without a name", errc::bad_tensor_name, with_name("")},
          {"tensor name with a zero byte", errc::bad_tensor_name, with_name(std::string("a\0b", 3))},
          {"tensor name of 65 bytes", errc::bad_tensor_name, with_name(std::string(65, 'n'))},
          {"tensor name longer than the file", errc::bad_string, [] { return file(1, 0).u64(1000).zeros(64).bytes; }},
      });
}

void add_values(table& t) {
  for (const std::uint32_t type : {13u, 0x80000000u, 0xffffffffu}) {
    t.push_back({"value type " + std::to_string(type), errc::bad_value_type,
                 with_value([=](raw_file& f) { f.u32(type).zeros(64); })});
    t.push_back({"array of type " + std::to_string(type), errc::bad_value_type,
                 with_value([=](raw_file& f) { f.u32(9).u32(type).u64(1).zeros(64); })});
  }
  t.insert(
      t.end(),
      {
          {"bool 2", errc::bad_value, with_value([](raw_file& f) { f.u32(7).u8(2); })},
          {"array with a bool 255", errc::bad_value,
           with_value([](raw_file& f) { f.u32(9).u32(7).u64(3).u8(0).u8(255).u8(1); })},
          {"array of arrays", errc::bad_value_type,
           with_value([](raw_file& f) { f.u32(9).u32(9).u64(1).u32(0).u64(1).u8(1); })},
          {"arrays of arrays, 100000 deep", errc::bad_value_type, with_value([](raw_file& f) {
             f.u32(9);
             for (int i = 0; i < 100000; ++i) f.u32(9).u64(1);
           })},
          {"2^61 numbers of 8 bytes", errc::bad_count,
           with_value([](raw_file& f) { f.u32(9).u32(10).u64(1ull << 61).zeros(64); })},
          {"2^62 + 1 numbers of 4 bytes", errc::bad_count,
           with_value([](raw_file& f) { f.u32(9).u32(4).u64((1ull << 62) + 1).zeros(64); })},
          {"2^32 empty strings", errc::bad_count,
           with_value([](raw_file& f) { f.u32(9).u32(8).u64(1ull << 32).zeros(64); })},
          {"2^64-1 bytes", errc::bad_count, with_value([](raw_file& f) { f.u32(9).u32(0).u64(max_u64).zeros(64); })},
          {"array one element too long", errc::bad_count,
           [] { return file(0, 1).array("a", 4, 3).u32(1).u32(2).bytes; }},
          {"array with one bad string", errc::bad_string,
           with_value([](raw_file& f) { f.u32(9).u32(8).u64(3).text("a").u64(max_u64 - 7).text("b"); })},
          {"array whose strings end too early", errc::truncated,
           [] { return file(0, 1).array("a", 8, 2).text("12345678").bytes; }},
          {"value missing", errc::truncated, [] { return file(0, 1).key("a.long.key", 10).u8(0).bytes; }},
          {"alignment as a string", errc::wrong_value_type, with_alignment([](raw_file& f) { f.u32(8).text("32"); })},
          {"alignment as f32", errc::wrong_value_type, with_alignment([](raw_file& f) { f.u32(6).number(32.0f); })},
          {"alignment as bool", errc::wrong_value_type, with_alignment([](raw_file& f) { f.u32(7).u8(1); })},
          {"alignment as an array", errc::wrong_value_type,
           with_alignment([](raw_file& f) { f.u32(9).u32(4).u64(1).u32(32); })},
          {"alignment -32", errc::bad_alignment,
           with_alignment([](raw_file& f) { f.u32(5).number(std::int32_t{-32}); })},
          {"alignment 2^63 as u64", errc::bad_alignment,
           with_alignment([](raw_file& f) { f.u32(10).u64(1ull << 63); })},
          {"alignment twice", errc::duplicate_key, [] { return file(0, 2).alignment(32).alignment(64).pad().bytes; }},
      });
  for (const std::uint32_t a : {0u, 3u, 7u, 12u, 33u, 1u << 20, 1u << 31, 0xffffffffu}) {
    t.push_back(
        {"alignment " + std::to_string(a), errc::bad_alignment, with_alignment([=](raw_file& f) { f.u32(4).u32(a); })});
  }
}

void add_names(table& t) {
  constexpr std::size_t million = 1000000;
  const auto numbered = [](std::size_t i) { return "k" + std::to_string(i); };
  t.insert(t.end(),
           {
               {"adjacent duplicate keys", errc::duplicate_key,
                [] { return file(0, 2).key("a", 0).u8(1).key("a", 1).u8(1).pad().bytes; }},
               {"distant duplicate keys", errc::duplicate_key,
                [=] { return many_keys(1001, [=](std::size_t i) { return numbered(i % 1000); }); }},
               {"10^6 times the same key", errc::duplicate_key,
                [=] { return many_keys(million, [](std::size_t) { return "k"; }); }},
               {"10^6 keys, the last one a duplicate", errc::duplicate_key,
                [=] { return many_keys(million, [=](std::size_t i) { return numbered(i == million - 1 ? 0 : i); }); }},
               {"1000 long keys that differ at the end, and a duplicate", errc::duplicate_key,
                [=] {
                  return many_keys(1001, [=](std::size_t i) { return std::string(20000, 'x') + numbered(i % 1000); });
                }},
               {"duplicate tensors", errc::duplicate_tensor,
                [] { return file(2, 0).tensor("a", {8}, f32, 0).tensor("a", {8}, f32, 32).pad().zeros(64).bytes; }},
               {"10^6 times the same tensor", errc::duplicate_tensor,
                [=] { return many_tensors(million, [](std::size_t) { return "t"; }); }},
           });
}

void add_shapes(table& t) {
  constexpr std::uint64_t two31 = 1ull << 31, two32 = 1ull << 32, two62 = 1ull << 62, two63 = 1ull << 63;
  t.insert(t.end(),
           {
               {"5 dimensions", errc::bad_dimensions, with_tensor({1, 1, 1, 1, 1}, f32, 0, 64)},
               {"2^32-1 dimensions", errc::bad_dimensions,
                [] { return file(1, 0).text("a").u32(0xffffffff).zeros(200).bytes; }},
               {"dimension -1", errc::bad_dimensions, with_tensor({max_u64}, f32, 0, 64)},
               {"dimension 2^63", errc::bad_dimensions, with_tensor({two63}, f32, 0, 64)},
               {"product 2^63", errc::bad_dimensions, with_tensor({two32, two31}, i8, 0, 64)},
               {"product that wraps to 0", errc::bad_dimensions, with_tensor({two32, two32}, f32, 0, 64)},
               {"product that wraps to 32", errc::bad_dimensions, with_tensor({(1ull << 60) + 1, 32}, f32, 0, 64)},
               {"empty, but rows overflow", errc::bad_dimensions, with_tensor({0, two62, two62}, f32, 0, 64)},
               {"2^62 - 1 weights whose bytes overflow", errc::bad_dimensions, with_tensor({two62 - 1}, f32, 0, 64)},
               {"row no multiple of the block", errc::bad_shape, with_tensor({33}, q4_0, 0, 64)},
               {"row of 128 in q4_K", errc::bad_shape, with_tensor({128, 2}, 12, 0, 256)},
               {"scalar of a block type", errc::bad_shape, with_tensor({}, q4_0, 0, 64)},
               {"type q8_1", errc::unsupported_type, with_tensor({32}, 9, 0, 64)},
               {"type q8_K", errc::unsupported_type, with_tensor({256}, 15, 0, 320)},
           });
  for (const std::uint32_t type : {4u, 5u, 31u, 32u, 33u, 36u, 37u, 38u}) {
    t.push_back({"removed type " + std::to_string(type), errc::removed_type, with_tensor({256}, type, 0, 256)});
  }
}

void add_data(table& t) {
  const auto two = [](std::uint64_t first, std::uint64_t second, std::size_t data) {
    return
        [=] { return file(2, 0).tensor("a", {16}, f32, first).tensor("b", {16}, f32, second).pad().zeros(data).bytes; };
  };
  t.insert(t.end(),
           {
               {"misaligned offset", errc::bad_offset, with_tensor({8}, f32, 8, 64)},
               {"offset past the end", errc::bad_offset, with_tensor({8}, f32, 1 << 20, 64)},
               {"empty tensor past the end", errc::bad_offset, with_tensor({0}, f32, 1 << 20, 64)},
               {"offset that wraps into the header", errc::bad_offset, with_tensor({8}, f32, max_u64 - 31, 64)},
               {"offset 2^63", errc::bad_offset, with_tensor({8}, f32, 1ull << 63, 64)},
               {"size that wraps when padded", errc::bad_offset, with_tensor({(1ull << 63) - 1}, i8, 0, 64)},
               {"sizes whose sum overflows", errc::bad_offset,
                [] {
                  return file(3, 0)
                      .tensor("a", {1ull << 62}, i8, 0)
                      .tensor("b", {1ull << 62}, i8, 1ull << 62)
                      .tensor("c", {8}, i8, 1ull << 63)
                      .pad()
                      .zeros(64)
                      .bytes;
                }},
               {"same offset", errc::overlapping, two(0, 0, 64)},
               {"overlap by half", errc::overlapping, two(0, 32, 128)},
               {"overlap, in descending order", errc::overlapping, two(32, 0, 128)},
               {"two unknown types at one offset", errc::overlapping,
                [] { return file(2, 0).tensor("a", {16}, 4711, 0).tensor("b", {16}, 4711, 0).pad().zeros(64).bytes; }},
               {"no data at all", errc::truncated, two(0, 64, 0)},
               {"data of the second tensor cut", errc::truncated, two(0, 64, 127)},
               {"header padding cut", errc::truncated, [] { return file(1, 0).tensor("a", {8}, f32, 0).bytes; }},
               {"2^40 weights announced", errc::truncated, with_tensor({1ull << 20, 1ull << 20}, f32, 0, 64)},
               {"no data left for an unknown type", errc::truncated,
                [] { return file(2, 0).tensor("a", {16}, f32, 0).tensor("b", {16}, 4711, 64).pad().zeros(64).bytes; }},
               {"one byte after the padding", errc::trailing_data, with_tensor({8}, f32, 0, 33)},
               {"a megabyte after the padding", errc::trailing_data, with_tensor({8}, f32, 0, 1 << 20)},
               {"bytes after a file without tensors", errc::trailing_data, [] { return file(0, 0).zeros(64).bytes; }},
               {"two files joined with cat", errc::trailing_data,
                [] { return raw_file{small_file()}.pad().raw(small_file()).bytes; }},
               {"two unpadded files joined with cat", errc::trailing_data, [] { return small_file() + small_file(); }},
           });
}

table all_files() {
  table t;
  add_headers(t);
  add_strings(t);
  add_values(t);
  add_names(t);
  add_shapes(t);
  add_data(t);
  return t;
}

}  // namespace

const std::vector<malformed_file>& malformed_files() {
  static const table files = all_files();
  return files;
}

const std::vector<accepted_file>& accepted_files() {
  constexpr std::size_t million = 1000000;
  static const std::vector<accepted_file> files{
      {"nothing in it", 0, [] { return file(0, 0).bytes; }},
      {"small file", small_file_tensors, [] { return small_file(); }},
      {"version 2", small_file_tensors, [] { return small_file(false, 2); }},
      {"big endian", small_file_tensors, [] { return small_file(true); }},
      {"padded at the end", small_file_tensors, [] { return raw_file{small_file()}.pad().bytes; }},
      {"half of the final padding", small_file_tensors, [] { return small_file() + std::string(3, '\0'); }},
      {"alignment 1", 1, [] { return file(1, 1).alignment(1).tensor("a", {3}, i8, 0).raw("abc").bytes; }},
      {"alignment 4", 1, [] { return file(1, 1).alignment(4).tensor("a", {3}, i8, 4).pad(4).zeros(7).bytes; }},
      {"alignment as u64", 0, [] { return file(0, 1).key("general.alignment", 10).u64(64).bytes; }},
      {"alignment as i32", 0, [] { return file(0, 1).key("general.alignment", 5).u32(8).bytes; }},
      {"alignment as u8", 0, [] { return file(0, 1).key("general.alignment", 0).u8(16).bytes; }},
      {"scalar", 1, with_tensor({}, f32, 0, 4)},
      {"empty tensors at one offset", 2,
       [] {
         return file(2, 0).tensor("a", {0}, f32, 0).tensor("b", {8, 0}, f32, 0).pad().bytes;
       }},
      {"empty tensor at the end of the data", 2,
       [] { return file(2, 0).tensor("a", {8}, f32, 0).tensor("b", {0}, f32, 32).pad().zeros(32).bytes; }},
      {"empty tensor inside another", 2,
       [] { return file(2, 0).tensor("a", {16}, f32, 0).tensor("b", {0}, f32, 32).pad().zeros(64).bytes; }},
      {"gap between tensors", 2,
       [] { return file(2, 0).tensor("a", {8}, f32, 0).tensor("b", {8}, f32, 4096).pad().zeros(4128).bytes; }},
      {"gap before the first tensor", 1, with_tensor({8}, f32, 64, 96)},
      {"descending offsets", 2,
       [] { return file(2, 0).tensor("a", {8}, f32, 32).tensor("b", {8}, f32, 0).pad().zeros(64).bytes; }},
      {"unknown types", 3,
       [] {
         return file(3, 0)
             .tensor("a", {7}, 4711, 0)
             .tensor("b", {9}, 137, 64)
             .tensor("c", {0}, 400, 96)
             .pad()
             .zeros(96)
             .bytes;
       }},
      {"types that are only copied", 2,
       [] { return file(2, 0).tensor("a", {256}, 16, 0).tensor("b", {2}, 28, 96).pad().zeros(112).bytes; }},
      {"tensor name of 64 bytes", 1, with_name(std::string(64, 'n'))},
      {"names that differ in byte 64", 2,
       [] {
         const std::string stem(63, 'n');
         return file(2, 0).tensor(stem + "a", {0}, f32, 0).tensor(stem + "b", {0}, f32, 0).pad().bytes;
       }},
      {"names with folders and control characters", 3,
       [] {
         return file(3, 0)
             .tensor("../../etc/passwd", {0}, f32, 0)
             .tensor("\x1b[31m", {0}, f32, 0)
             .tensor("\xff\xfe", {0}, f32, 0)
             .pad()
             .bytes;
       }},
      {"case twins", 2,
       [] {
         return file(2, 2)
             .key("a", 0)
             .u8(1)
             .key("A", 0)
             .u8(1)
             .tensor("t", {0}, f32, 0)
             .tensor("T", {0}, f32, 0)
             .pad()
             .bytes;
       }},
      {"key that is not UTF-8", 0, [] { return file(0, 1).key("\xc3\x28", 0).u8(1).bytes; }},
      {"string that is not UTF-8", 0, with_value([](raw_file& f) { f.u32(8).text("\xff\x80"); })},
      {"NaN and infinity", 0, with_value([](raw_file& f) { f.u32(9).u32(6).u64(2).u32(0x7fc00000).u32(0xff800000); })},
      {"empty arrays", 0, [] { return file(0, 2).array("a", 8, 0).array("b", 6, 0).bytes; }},
      {"10^6 keys", 0, [] { return many_keys(million, [](std::size_t i) { return "k" + std::to_string(i); }); }},
      {"10^6 keys in descending order", 0,
       [] { return many_keys(million, [](std::size_t i) { return std::to_string(9999999 - i); }); }},
      {"10^6 tensors", million,
       [] { return many_tensors(million, [](std::size_t i) { return "t" + std::to_string(i); }); }},
      {"10^6 empty strings", 0, with_value([](raw_file& f) { f.u32(9).u32(8).u64(million).zeros(8 * million); })},
      {"1000 long keys", 0,
       [] { return many_keys(1000, [](std::size_t i) { return std::string(60000, 'x') + std::to_string(i); }); }},
  };
  return files;
}

}  // namespace test
