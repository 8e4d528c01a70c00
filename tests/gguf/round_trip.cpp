// What is written is what is read: values, types, alignments, splits, and files of the other byte order.
#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "blockquant/gguf.hpp"
#include "raw_file.hpp"
#include "scratch.hpp"

namespace {

using namespace bq::gguf;

std::vector<std::byte> random_bytes(std::uint64_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::byte> out(static_cast<std::size_t>(n));
  std::ranges::generate(out, [&] { return static_cast<std::byte>(random()); });
  return out;
}

std::vector<std::byte> read_whole(const model& m, const tensor& t) {
  std::vector<std::byte> out(static_cast<std::size_t>(t.bytes));
  m.read(t, 0, out);
  return out;
}

metadata every_value() {
  metadata m;
  m.set("general.architecture", value::of_string("llama"));
  m.set("v.u8", value::of_u8(200));
  m.set("v.i8", value::of_i8(-100));
  m.set("v.u16", value::of_u16(60000));
  m.set("v.i16", value::of_i16(-30000));
  m.set("v.u32", value::of_u32(4000000000u));
  m.set("v.i32", value::of_i32(-2000000000));
  m.set("v.u64", value::of_u64(18000000000000000000u));
  m.set("v.i64", value::of_i64(-9000000000000000000));
  m.set("v.f32", value::of_f32(0.1f));
  m.set("v.f64", value::of_f64(0.1));
  m.set("v.bool", value::of_bool(true));
  m.set("v.string", value::of_string(std::string("a\0b \xff", 5)));
  m.set("v.empty", value::of_string(""));
  m.set("v.strings", value::of_strings(std::vector<std::string>{"", "x", std::string(1000, 'y'), ""}));
  m.set("v.u64s", value::of_u64s(std::vector<std::uint64_t>{1, 2, 1ull << 63}));
  m.set("v.i32s", value::of_i32s(std::vector<std::int32_t>{-1, 0, 1}));
  m.set("v.f32s", value::of_f32s(std::vector<float>{}));
  return m;
}

// A tensor of every type that files may hold, of odd sizes, two of them empty.
std::vector<tensor_shape> every_type() {
  std::vector<tensor_shape> out;
  const auto add = [&](std::uint32_t id, std::int64_t block) {
    tensor_shape t;
    t.name = "tensor." + label(id).name;
    t.type_id = id;
    t.n_dims = 1 + static_cast<std::uint32_t>(out.size() % 4);
    for (std::uint32_t d = 0; d < t.n_dims; ++d) t.ne[d] = d == 0 ? 3 * block : static_cast<std::int64_t>(d) + 1;
    out.push_back(t);
  };
  for (const bq::type_info& t : bq::types()) {
    if (!t.activation_only) add(static_cast<std::uint32_t>(t.id), t.block_size);
  }
  for (const std::uint32_t id : {16u, 17u, 18u, 19u, 21u, 22u, 24u, 25u, 26u, 27u, 28u, 29u, 41u, 42u}) {
    REQUIRE(label(id).block_size > 0);
    add(id, label(id).block_size);
  }
  out[0].ne[0] = 0;
  out[out.size() / 2].ne[0] = 0;
  return out;
}

std::uint64_t bytes_of(const tensor_shape& t) {
  const type_label l = label(t.type_id);
  return static_cast<std::uint64_t>(t.elements()) / l.block_size * l.block_bytes;
}

// Writes random data in two pieces per tensor, last tensor first.
std::vector<std::string> write_model(const std::string& path, const metadata& meta,
                                     const std::vector<tensor_shape>& tensors, const write_options& options = {}) {
  writer w(path, meta, tensors, options);
  for (std::size_t i = tensors.size(); i-- > 0;) {
    const auto data = random_bytes(bytes_of(tensors[i]), static_cast<unsigned>(i));
    const std::size_t half = data.size() / 2;
    w.write(i, half, std::span(data).subspan(half));
    w.write(i, 0, std::span(data).first(half));
  }
  w.commit();
  return {w.paths().begin(), w.paths().end()};
}

void check_model(const model& m, const metadata& meta, const std::vector<tensor_shape>& tensors) {
  REQUIRE(m.metadata().entries().size() == meta.entries().size());
  for (std::size_t i = 0; i < meta.entries().size(); ++i) {
    const metadata::entry &expected = meta.entries()[i], &found = m.metadata().entries()[i];
    CAPTURE(expected.key);
    CHECK(found.key == expected.key);
    CHECK(found.value.type() == expected.value.type());
    CHECK(std::ranges::equal(found.value.encoding(), expected.value.encoding()));
  }
  REQUIRE(m.tensors().size() == tensors.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    CAPTURE(tensors[i].name);
    const tensor* t = m.find(tensors[i].name);
    REQUIRE(t != nullptr);
    CHECK(t->type_id == tensors[i].type_id);
    CHECK(t->n_dims == tensors[i].n_dims);
    CHECK(t->ne == tensors[i].ne);
    REQUIRE(t->bytes == bytes_of(tensors[i]));
    CHECK(t->offset % m.shards()[t->shard].alignment == 0);
    const auto expected = random_bytes(t->bytes, static_cast<unsigned>(i));
    CHECK(read_whole(m, *t) == expected);
    CHECK(std::ranges::equal(m.map(*t), expected));
  }
}

}  // namespace

TEST_CASE("every value type and tensor type, at several alignments") {
  const test::scratch dir;
  const auto tensors = every_type();
  for (const std::uint32_t alignment : {1u, 8u, 32u, 64u, 4096u}) {
    CAPTURE(alignment);
    metadata meta = every_value();
    meta.set("general.alignment", value::of_u32(alignment));
    const std::string path = dir / "model.gguf";
    CHECK(write_model(path, meta, tensors) == std::vector{path});
    const model m = model::open(path);
    CHECK(m.shards()[0].alignment == alignment);
    CHECK(m.shards()[0].version == 3);
    CHECK(m.shards()[0].file_bytes % alignment == 0);
    CHECK(m.find("tensor") == nullptr);
    check_model(m, meta, tensors);
  }
}

TEST_CASE("data lies packed, in the order of the tensors") {
  const test::scratch dir;
  const auto tensors = every_type();
  const model m = model::open(write_model(dir / "model.gguf", every_value(), tensors)[0]);
  std::uint64_t end = m.shards()[0].data_offset;
  for (const tensor& t : m.tensors()) {
    CHECK(t.offset == end);
    end = (t.offset + t.bytes + 31) / 32 * 32;
  }
  CHECK(end == m.shards()[0].file_bytes);
}

TEST_CASE("an alignment of another integer type is written as u32") {
  const test::scratch dir;
  metadata meta;
  meta.set("general.alignment", value::of_u64(64));
  write_model(dir / "model.gguf", meta, {});
  const model m = model::open(dir / "model.gguf");
  CHECK(m.metadata().find("general.alignment")->type() == value_type::u32);
  CHECK(m.shards()[0].alignment == 64);
}

TEST_CASE("versions and byte orders hand out the same model") {
  const test::scratch dir;
  const model plain = model::open(dir.add("plain.gguf", test::small_file()));
  struct variant {
    std::uint32_t version;
    bool big_endian;
  };
  for (const auto& [version, big_endian] : {variant{2, false}, variant{3, true}, variant{2, true}}) {
    const model m = model::open(dir.add("other.gguf", test::small_file(big_endian, version)));
    CHECK(m.shards()[0].version == version);
    CHECK(m.shards()[0].big_endian == big_endian);
    REQUIRE(m.metadata().entries().size() == plain.metadata().entries().size());
    for (const metadata::entry& e : plain.metadata().entries()) {
      CAPTURE(e.key);
      CHECK(std::ranges::equal(m.metadata().find(e.key)->encoding(), e.value.encoding()));
    }
    for (const tensor& t : plain.tensors()) {
      CAPTURE(t.name);
      CHECK(read_whole(m, *m.find(t.name)) == read_whole(plain, t));
    }
  }
}

TEST_CASE("big-endian blocks are read whole, and only where their layout is known") {
  const test::scratch dir;
  test::raw_file f;
  f.big_endian = true;
  f.header(2, 0).tensor("known", {64}, test::q4_0, 0).tensor("unknown", {256}, 16, 64);
  f.pad().u16(0x1234).zeros(16).u16(0x5678).zeros(16).pad().zeros(66);
  const model m = model::open(dir.add("model.gguf", f.bytes));
  std::vector<std::byte> block(18);
  m.read(*m.find("known"), 18, block);
  CHECK(block[0] == std::byte{0x78});
  CHECK(block[1] == std::byte{0x56});

  const auto code_of = [](auto call) {
    try {
      call();
    } catch (const bq::error& e) {
      return e.code();
    }
    return bq::errc::io;
  };
  CHECK(code_of([&] { m.read(*m.find("known"), 2, block); }) == bq::errc::invalid_argument);
  CHECK(code_of([&] { m.read(*m.find("known"), 0, std::span(block).first(5)); }) == bq::errc::invalid_argument);
  std::vector<std::byte> whole(66);
  CHECK(code_of([&] { m.read(*m.find("unknown"), 0, whole); }) == bq::errc::unsupported_type);
  CHECK(code_of([&] { m.map(*m.find("known")); }) == bq::errc::unsupported_type);
}

TEST_CASE("reads stay inside the tensor") {
  const test::scratch dir;
  const model m = model::open(dir.add("model.gguf", test::small_file()));
  const tensor& t = m.tensors()[0];
  std::vector<std::byte> out(16);
  m.read(t, t.bytes - 16, out);
  m.read(t, t.bytes, {});
  for (const std::uint64_t offset : {t.bytes - 15, t.bytes, ~std::uint64_t{0}}) {
    CHECK_THROWS_AS(m.read(t, offset, out), bq::error);
  }
  tensor foreign = t;
  foreign.shard = 7;
  CHECK_THROWS_AS(m.read(foreign, 0, out), bq::error);
  foreign = t;
  foreign.bytes = foreign.offset = 1u << 20;
  CHECK_THROWS_AS(m.read(foreign, 0, out), bq::error);
  CHECK_THROWS_AS(m.map(foreign), bq::error);
}

TEST_CASE("split models") {
  const auto tensors = every_type();
  const metadata meta = every_value();
  struct plan {
    std::string name;
    write_options options;
    std::size_t parts;
  };
  write_options by_count, by_size, first_empty, one_part, explicit_parts;
  by_count.max_shard_tensors = 10;
  by_size.max_shard_bytes = 20000;
  first_empty.empty_first_shard = true;
  one_part.max_shard_tensors = 1000;
  for (std::size_t i = 0; i < tensors.size(); ++i)
    explicit_parts.shard_of.push_back(static_cast<std::uint32_t>(2 - i % 2));
  const plan plans[] = {{"count", by_count, (tensors.size() + 9) / 10},
                        {"size", by_size, 0},
                        {"empty first", first_empty, 2},
                        {"one part", one_part, 1},
                        {"explicit", explicit_parts, 3}};
  for (const plan& p : plans) {
    CAPTURE(p.name);
    const test::scratch dir;
    const auto paths = write_model(dir / "m", meta, tensors, p.options);
    if (p.parts != 0) CHECK(paths.size() == p.parts);
    for (std::size_t i = 0; i < paths.size(); ++i) {
      CHECK(paths[i] == shard_path(dir / "m", static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(paths.size())));
      const model m = model::open(paths[i]);
      CHECK(m.shards().size() == paths.size());
      check_model(m, meta, tensors);
    }
    const model alone = model::open(paths.back(), {.follow_shards = false});
    CHECK(alone.shards().size() == 1);
    CHECK(alone.metadata().require_uint("split.no") == paths.size() - 1);
    CHECK(alone.metadata().find("split.no")->type() == value_type::u16);
    CHECK(alone.metadata().find("split.count")->type() == value_type::u16);
    CHECK(alone.metadata().find("split.tensors.count")->type() == value_type::i32);
    if (p.options.empty_first_shard || !p.options.shard_of.empty()) {
      CHECK(model::open(paths[0], {.follow_shards = false}).tensors().empty());
    }
    if (p.options.max_shard_bytes != 0) {
      CHECK(paths.size() > 2);
      for (const std::string& path : paths) CHECK(std::filesystem::file_size(path) <= p.options.max_shard_bytes);
    }
  }
}

TEST_CASE("a split model with its own alignment") {
  const test::scratch dir;
  const auto tensors = every_type();
  metadata meta = every_value();
  meta.set("general.alignment", value::of_u32(4096));
  write_options options;
  options.max_shard_tensors = 7;
  const auto paths = write_model(dir / "m", meta, tensors, options);
  const model m = model::open(paths.back());
  for (const shard& s : m.shards()) CHECK(s.alignment == 4096);
  check_model(m, meta, tensors);
}

TEST_CASE("metadata too large for the first part leaves it without tensors") {
  const test::scratch dir;
  metadata meta;
  meta.set("large", value::of_string(std::string(3000, 'x')));
  std::vector<tensor_shape> tensors(3);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    tensors[i].name = std::to_string(i);
    tensors[i].ne[0] = 750;
  }
  write_options options;
  options.max_shard_bytes = 4000;
  const auto paths = write_model(dir / "m", meta, tensors, options);
  CHECK(paths.size() == 4);
  for (const std::string& path : paths) CHECK(std::filesystem::file_size(path) <= 4000);
  check_model(model::open(paths[0]), meta, tensors);
}

TEST_CASE("copying tensors of unknown types, and the keys of a split") {
  const test::scratch dir;
  test::raw_file f;
  f.header(2, 2).key("split.count", 2).u16(0).key("b", 0).u8(7);
  f.tensor("a", {7}, 4711, 32).tensor("b", {9}, 137, 0).pad().raw(std::string(32, 'B')).raw(std::string(64, 'A'));
  const model in = model::open(dir.add("in.gguf", f.bytes));
  CHECK(in.metadata().find("split.count") == nullptr);
  CHECK(in.find("a")->bytes == 64);
  CHECK(in.find("b")->bytes == 32);
  CHECK(label(137).name == "IQ2_K");
  CHECK(label(137).owner == "ik_llama.cpp");
  CHECK(label(4711).name == "type 4711");
  CHECK(label(4711).owner.empty());

  writer w(dir / "out.gguf", in.metadata(), {in.tensors().begin(), in.tensors().end()});
  for (std::size_t i = 0; i < 2; ++i) w.write(i, 0, read_whole(in, in.tensors()[i]));
  w.commit();
  const model out = model::open(dir / "out.gguf");
  for (const tensor& t : in.tensors()) {
    CHECK(out.find(t.name)->type_id == t.type_id);
    CHECK(read_whole(out, *out.find(t.name)) == read_whole(in, t));
  }
}

TEST_CASE("shard names") {
  CHECK(shard_path("dir/m", 0, 3) == "dir/m-00001-of-00003.gguf");
  CHECK(shard_path("m", 65534, 65535) == "m-65535-of-65535.gguf");
  CHECK(shard_prefix("dir/m-00001-of-00003.gguf") == "dir/m");
  CHECK(shard_prefix("a-00001-of-00003-00002-of-00009.gguf") == "a-00001-of-00003");
  for (const char* name : {"", "m.gguf", "-00001-of-00003.gguf", "m-00001-of-00003.ggu", "m-0001-of-00003.gguf",
                           "m-0000a-of-00003.gguf"}) {
    CAPTURE(name);
    CHECK(!shard_prefix(name));
  }
}
