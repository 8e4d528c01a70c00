// Split models whose parts do not fit together.
#include "malformed.hpp"
#include "raw_file.hpp"

namespace test {

namespace {

using bq::errc;

// A part of a split model of `count` parts with one tensor of 8 floats.
struct part {
  std::uint16_t no, count;
  std::int32_t tensors;
  std::string tensor;
  std::string architecture = {};

  std::string bytes() const {
    const bool first = !architecture.empty();
    raw_file f;
    f.header(1, 3 + (first ? 1 : 0));
    if (first) f.key("general.architecture", 8).text(architecture);
    f.key("split.no", 2).u16(no).key("split.count", 2).u16(count).key("split.tensors.count", 5).number(tensors);
    return f.tensor(tensor, {8}, f32, 0).pad().zeros(32).bytes;
  }
};

const std::string one = "m-00001-of-00002.gguf", two = "m-00002-of-00002.gguf";

// Two parts that are right, but for what the test changes.
std::function<std::vector<named_bytes>()> pair(part first, part second) {
  return [=] { return std::vector<named_bytes>{{one, first.bytes()}, {two, second.bytes()}}; };
}

const part good_first{0, 2, 2, "a", "llama"}, good_second{1, 2, 2, "b"};

// The second part with other keys: `keys` appends them.
std::function<std::vector<named_bytes>()> second_with_keys(std::uint64_t count, std::function<void(raw_file&)> keys) {
  return [=] {
    raw_file f;
    f.header(0, count);
    keys(f);
    return std::vector<named_bytes>{{one, good_first.bytes()}, {two, f.pad().bytes}};
  };
}

}  // namespace

const std::vector<malformed_split>& malformed_splits() {
  static const std::vector<malformed_split> splits{
      {"second part missing", errc::bad_shard,
       [] {
         return std::vector<named_bytes>{{one, good_first.bytes()}};
       }},
      {"first part missing", errc::bad_shard,
       [] {
         return std::vector<named_bytes>{{two, good_second.bytes()}};
       }},
      {"first of 65535 parts alone", errc::bad_shard,
       [] {
         return std::vector<named_bytes>{{"m-00001-of-65535.gguf", part{0, 65535, 2, "a", "llama"}.bytes()}};
       }},
      {"renamed part", errc::bad_shard,
       [] {
         return std::vector<named_bytes>{{"model.gguf", good_first.bytes()}, {two, good_second.bytes()}};
       }},
      {"part under another's name", errc::bad_shard,
       [] {
         return std::vector<named_bytes>{{two, good_first.bytes()}, {one, good_second.bytes()}};
       }},
      {"prefixes differ", errc::bad_shard,
       [] {
         return std::vector<named_bytes>{{one, good_first.bytes()}, {"n-00002-of-00002.gguf", good_second.bytes()}};
       }},
      {"wrong number", errc::bad_shard, pair(good_first, {0, 2, 2, "b"})},
      {"number beyond the count", errc::bad_shard, pair({2, 2, 2, "a", "llama"}, good_second)},
      {"wrong count", errc::bad_shard, pair(good_first, {1, 3, 2, "b"})},
      {"totals differ", errc::bad_shard, pair(good_first, {1, 2, 3, "b"})},
      {"total too large", errc::bad_shard, pair({0, 2, 3, "a", "llama"}, {1, 2, 3, "b"})},
      {"total too small", errc::bad_shard, pair({0, 2, 1, "a", "llama"}, {1, 2, 1, "b"})},
      {"negative total", errc::wrong_value_type, pair({0, 2, -1, "a", "llama"}, {1, 2, -1, "b"})},
      {"another architecture", errc::bad_shard, pair(good_first, {1, 2, 2, "b", "falcon"})},
      {"tensor in both parts", errc::duplicate_tensor, pair(good_first, {1, 2, 2, "a"})},
      {"part that is no part", errc::bad_shard,
       [] {
         return std::vector<named_bytes>{{one, good_first.bytes()}, {two, small_file()}};
       }},
      {"part that is no GGUF file", errc::not_gguf,
       [] {
         return std::vector<named_bytes>{{one, good_first.bytes()}, {two, "<html></html>"}};
       }},
      {"number as a string", errc::wrong_value_type,
       second_with_keys(
           3,
           [](raw_file& f) {
             f.key("split.no", 8).text("1").key("split.count", 2).u16(2).key("split.tensors.count", 5).u32(2);
           })},
      {"total missing", errc::bad_shard,
       second_with_keys(2, [](raw_file& f) { f.key("split.no", 2).u16(1).key("split.count", 2).u16(2); })},
      {"parts joined with cat", errc::trailing_data,
       [] {
         return std::vector<named_bytes>{{"m.gguf", good_first.bytes() + good_second.bytes()}};
       }},
  };
  return splits;
}

}  // namespace test
