// What the file system can do to a reader and a writer: odd inputs, interrupted and impossible outputs.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <thread>

#include "blockquant/gguf.hpp"
#include "raw_file.hpp"
#include "scratch.hpp"

namespace {

using namespace bq::gguf;

bq::error_info failure_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const bq::error& e) {
    return e.info();
  }
  FAIL("nothing was thrown");
  return {};
}

bq::errc open_code(const std::string& path) {
  return failure_of([&] { model::open(path); }).code;
}

std::vector<tensor_shape> one_tensor(std::int64_t floats) {
  tensor_shape t;
  t.name = "weights";
  t.ne[0] = floats;
  return {t};
}

std::span<const std::byte> as_bytes(const std::vector<float>& x) { return std::as_bytes(std::span(x)); }

void write_one(const std::string& path, const write_options& options = {}) {
  const std::vector<float> data{1, 2, 3};
  writer w(path, {}, one_tensor(3), options);
  w.write(0, 0, as_bytes(data));
  w.commit();
}

// Runs `body` in a child process and returns its wait status. The child leaves with the body's result and runs nothing
// else.
int in_child(const std::function<int()>& body) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    int result = 99;
    try {
      result = body();
    } catch (...) {
    }
    _exit(result);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return status;
}

constexpr int failed = 1;

// In a child: 0 when `call` throws an error of this code.
int expect_code(bq::errc code, const std::function<void()>& call) {
  try {
    call();
  } catch (const bq::error& e) {
    return e.code() == code && !e.info().file.empty() ? 0 : failed;
  }
  return failed;
}

bool exited_with_success(int status) { return WIFEXITED(status) && WEXITSTATUS(status) == 0; }

// From now on this process sees a file system without nameless files.
bool refuse_nameless_files() {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[2])),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_TMPFILE & ~O_DIRECTORY, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{static_cast<unsigned short>(std::size(program)), program};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

}  // namespace

TEST_CASE("inputs that are no regular files") {
  const test::scratch dir;
  CHECK(open_code(dir / "absent.gguf") == bq::errc::io);
  CHECK(open_code(dir.path().string()) == bq::errc::not_a_file);
  CHECK(open_code("/dev/zero") == bq::errc::not_a_file);
  REQUIRE(mkfifo((dir / "fifo").c_str(), 0600) == 0);
  CHECK(open_code(dir / "fifo") == bq::errc::not_a_file);  // and does not wait for a writer

  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = dir / "socket";
  REQUIRE(path.size() < sizeof(address.sun_path));
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const int s = socket(AF_UNIX, SOCK_STREAM, 0);
  REQUIRE(bind(s, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
  CHECK(open_code(path) == bq::errc::not_a_file);
  close(s);
}

TEST_CASE("links and permissions") {
  const test::scratch dir;
  const std::string path = dir.add("model.gguf", test::small_file());
  std::filesystem::create_symlink("model.gguf", dir / "link.gguf");
  CHECK(model::open(dir / "link.gguf").tensors().size() == test::small_file_tensors);
  std::filesystem::create_symlink("loop.gguf", dir / "loop.gguf");
  CHECK(open_code(dir / "loop.gguf") == bq::errc::io);
  if (geteuid() == 0) {
    MESSAGE("root may read everything: the unreadable file is skipped");
  } else {
    REQUIRE(chmod(path.c_str(), 0) == 0);
    CHECK(open_code(path) == bq::errc::io);
  }
}

TEST_CASE("a file that shrinks while it is open") {
  const test::scratch dir;
  const std::string path = dir.add("model.gguf", test::small_file());
  const model m = model::open(path);
  const tensor& t = m.tensors().back();
  std::filesystem::resize_file(path, t.offset + 2);
  std::vector<std::byte> out(static_cast<std::size_t>(t.bytes));
  CHECK(failure_of([&] { m.read(t, 0, out); }).code == bq::errc::file_changed);
  CHECK(failure_of([&] { m.map(t); }).code == bq::errc::file_changed);
}

TEST_CASE("a file that is replaced while it is open stays readable") {
  const test::scratch dir;
  const std::string path = dir.add("model.gguf", test::small_file());
  const model m = model::open(path);
  std::filesystem::rename(dir.add("other", "gone"), path);
  std::vector<std::byte> out(5);
  m.read(m.tensors().back(), 0, out);
  CHECK(out[4] == std::byte{'5'});
}

TEST_CASE("a sparse file beyond 4 GiB") {
  const test::scratch dir;
  test::raw_file f;
  constexpr std::uint64_t rows = (1ull << 31) + 1;
  f.header(1, 0).tensor("tall", {32, rows}, test::i8, 0).pad();
  const std::string path = dir.add("model.gguf", f.bytes);
  std::filesystem::resize_file(path, f.bytes.size() + 32 * rows);
  const model m = model::open(path);
  const tensor& t = m.tensors()[0];
  CHECK(t.rows() == static_cast<std::int64_t>(rows));
  CHECK(t.bytes == 32 * rows);
  std::vector<std::byte> row(32, std::byte{1});
  m.read(t, t.bytes - 32, row);
  CHECK(row == std::vector<std::byte>(32));
}

TEST_CASE("reading from several threads") {
  const test::scratch dir;
  const std::string whole = test::small_file();
  const model m = model::open(dir.add("model.gguf", whole));
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int k = 0; k < 4; ++k) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        for (const tensor& t : m.tensors()) {
          std::vector<std::byte> out(static_cast<std::size_t>(t.bytes));
          m.read(t, 0, out);
          const auto mapped = m.map(t);
          if (std::memcmp(out.data(), whole.data() + t.offset, out.size()) != 0 || !std::ranges::equal(out, mapped))
            ++wrong;
        }
      }
    });
  }
  for (std::thread& t : threads) t.join();
  CHECK(wrong == 0);
}

TEST_CASE("outputs appear whole or not at all") {
  const test::scratch dir;
  const std::string path = dir / "out.gguf";
  const std::vector<float> data{1, 2, 3};
  {
    writer w(path, {}, one_tensor(3));
    w.write(0, 0, as_bytes(data));
    CHECK(dir.empty());
  }
  CHECK(dir.empty());
  {
    writer w(path, {}, one_tensor(3));
    w.write(0, 4, as_bytes(data).subspan(4));
    const auto info = failure_of([&] { w.commit(); });
    CHECK(info.code == bq::errc::io);
    CHECK(info.subject == "weights");
  }
  CHECK(dir.empty());
  write_one(path);
  CHECK(dir.files() == 1);
}

TEST_CASE("existing outputs") {
  const test::scratch dir;
  const std::string path = dir.add("out.gguf", "precious");
  write_options keep;
  keep.overwrite = false;
  CHECK(failure_of([&] { write_one(path, keep); }).code == bq::errc::file_exists);
  { const writer abandoned(path, {}, one_tensor(3)); }
  CHECK(test::contents(path) == "precious");
  write_one(path);
  CHECK(model::open(path).tensors().size() == 1);
  CHECK(dir.files() == 1);

  // A file that appears while the output is being written.
  const std::string late = dir / "late.gguf";
  const std::vector<float> data{1, 2, 3};
  writer w(late, {}, one_tensor(3), keep);
  w.write(0, 0, as_bytes(data));
  dir.add("late.gguf", "mine");
  CHECK(failure_of([&] { w.commit(); }).code == bq::errc::file_exists);
  CHECK(test::contents(late) == "mine");
}

TEST_CASE("the input may be the output") {
  const test::scratch dir;
  const std::string path = dir.add("model.gguf", test::small_file());
  const model in = model::open(path);
  writer w(path, in.metadata(), {in.tensors().begin(), in.tensors().end()});
  for (std::size_t i = 0; i < in.tensors().size(); ++i) w.write(i, 0, in.map(in.tensors()[i]));
  w.commit();
  CHECK(model::open(path).tensors().size() == test::small_file_tensors);
}

TEST_CASE("outputs that cannot be") {
  const test::scratch dir;
  CHECK(failure_of([&] { write_one(dir / "absent/out.gguf"); }).code == bq::errc::io);
  CHECK(failure_of([&] { write_one(dir.path().string()); }).code == bq::errc::not_a_file);
  CHECK(failure_of([&] { write_one("/dev/null"); }).code == bq::errc::not_a_file);
  const auto info = failure_of([&] { writer(dir / "out.gguf", {}, one_tensor(1ll << 58)); });
  CHECK(info.code == bq::errc::disk_full);
  CHECK(!info.expected.empty());
  CHECK(dir.empty());
}

TEST_CASE("a part that cannot be published takes the others back") {
  const test::scratch dir;
  write_options options;
  options.shard_of = {0, 1};
  options.overwrite = false;
  auto tensors = one_tensor(3);
  tensors.push_back(tensors[0]);
  tensors[1].name = "more";
  const std::vector<float> data{1, 2, 3};
  writer w(dir / "m", {}, tensors, options);
  for (std::size_t i = 0; i < 2; ++i) w.write(i, 0, as_bytes(data));
  dir.add("m-00001-of-00002.gguf", "mine");
  CHECK(failure_of([&] { w.commit(); }).code == bq::errc::file_exists);
  CHECK(!std::filesystem::exists(dir / "m-00002-of-00002.gguf"));
}

TEST_CASE("a process killed while writing leaves nothing") {
  const test::scratch dir;
  int ready[2];
  REQUIRE(pipe(ready) == 0);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const std::vector<float> data(1 << 18);
    writer w(dir / "out.gguf", {}, one_tensor(1 << 20));
    w.write(0, 0, as_bytes(data));
    if (write(ready[1], "x", 1) == 1) pause();
    _exit(failed);
  }
  char c;
  REQUIRE(read(ready[0], &c, 1) == 1);
  REQUIRE(kill(child, SIGKILL) == 0);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFSIGNALED(status));
  close(ready[0]);
  close(ready[1]);
  CHECK(dir.empty());
}

TEST_CASE("a limit on file sizes is reported before any work") {
  const test::scratch dir;
  const int status = in_child([&] {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1 << 16, 1 << 16};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return failed;
    return expect_code(bq::errc::disk_full, [&] { writer(dir / "out.gguf", {}, one_tensor(1 << 20)); });
  });
  CHECK(exited_with_success(status));
  CHECK(dir.empty());
}

TEST_CASE("a full disk is reported before any work") {
  const test::scratch dir;
  if (mount("tmpfs", dir.path().c_str(), "tmpfs", 0, "size=256k") != 0) {
    MESSAGE("no small file system may be mounted here: skipped");
    return;
  }
  CHECK(failure_of([&] { writer(dir / "out.gguf", {}, one_tensor(1 << 20)); }).code == bq::errc::disk_full);
  {
    const writer first(dir / "a.gguf", {}, one_tensor(40000));  // the space is reserved, though nothing was written
    CHECK(failure_of([&] { writer(dir / "b.gguf", {}, one_tensor(40000)); }).code == bq::errc::disk_full);
  }
  write_one(dir / "out.gguf");
  CHECK(model::open(dir / "out.gguf").tensors().size() == 1);
  CHECK(umount2(dir.path().c_str(), MNT_DETACH) == 0);
}

TEST_CASE("file systems without nameless files") {
  const test::scratch dir;
  const std::string path = dir / "out.gguf", late = dir / "late.gguf";
  constexpr int skipped = 77;
  const int status = in_child([&] {
    if (!refuse_nameless_files()) return skipped;
    {
      const writer abandoned(path, {}, one_tensor(3));
      if (dir.empty()) return failed;  // it must have a name meanwhile
    }
    if (!dir.empty()) return failed;
    write_options keep;
    keep.overwrite = false;
    write_one(path, keep);
    write_one(path);
    const auto lose_race = [&] {
      const std::vector<float> data{1, 2, 3};
      writer w(late, {}, one_tensor(3), keep);
      w.write(0, 0, as_bytes(data));
      write_one(late);
      w.commit();
    };
    if (expect_code(bq::errc::file_exists, lose_race) != 0) return failed;
    return dir.files() == 2 ? 0 : failed;
  });
  if (WIFEXITED(status) && WEXITSTATUS(status) == skipped) {
    MESSAGE("system calls may not be filtered here: skipped");
    return;
  }
  CHECK(exited_with_success(status));
  CHECK(model::open(path).tensors().size() == 1);
}

TEST_CASE("what a writer refuses") {
  const test::scratch dir;
  const std::string path = dir / "out.gguf";
  const auto code_of = [&](const metadata& meta, const std::vector<tensor_shape>& tensors,
                           const write_options& o = {}) {
    return failure_of([&] { writer(path, meta, tensors, o); }).code;
  };
  const auto with = [&](auto change) {
    auto tensors = one_tensor(32);
    change(tensors[0]);
    return tensors;
  };
  const auto key = [](std::string_view name) {
    metadata m;
    m.set(name, value::of_u8(1));
    return m;
  };
  CHECK(code_of(key(""), {}) == bq::errc::bad_key);
  CHECK(code_of(key(std::string_view("a\0b", 3)), {}) == bq::errc::bad_key);
  CHECK(code_of(key(std::string(65536, 'k')), {}) == bq::errc::bad_key);
  metadata odd;
  odd.set("general.alignment", value::of_u32(48));
  CHECK(code_of(odd, {}) == bq::errc::bad_alignment);
  odd.set("general.alignment", value::of_string("32"));
  CHECK(code_of(odd, {}) == bq::errc::wrong_value_type);
  CHECK(code_of({}, with([](tensor_shape& t) { t.name = ""; })) == bq::errc::bad_tensor_name);
  CHECK(code_of({}, with([](tensor_shape& t) { t.name = std::string(64, 'n'); })) == bq::errc::bad_tensor_name);
  CHECK(code_of({}, with([](tensor_shape& t) { t.n_dims = 5; })) == bq::errc::bad_dimensions);
  CHECK(code_of({}, with([](tensor_shape& t) { t.ne[1] = 2; })) == bq::errc::bad_dimensions);
  CHECK(code_of({}, with([](tensor_shape& t) { t.ne[0] = -1; })) == bq::errc::bad_dimensions);
  CHECK(code_of({}, with([](tensor_shape& t) { t.bytes = 100; })) == bq::errc::bad_shape);
  CHECK(code_of({}, with([](tensor_shape& t) { t.type_id = 12; })) == bq::errc::bad_shape);
  CHECK(code_of({}, with([](tensor_shape& t) { t.type_id = 9; })) == bq::errc::unsupported_type);
  CHECK(code_of({}, with([](tensor_shape& t) { t.type_id = 4; })) == bq::errc::removed_type);
  auto twins = one_tensor(3);
  twins.push_back(twins[0]);
  CHECK(code_of({}, twins) == bq::errc::duplicate_tensor);
  write_options parts;
  parts.shard_of = {0, 0};
  CHECK(code_of({}, one_tensor(3), parts) == bq::errc::invalid_argument);
  parts.shard_of = {65535};
  CHECK(code_of({}, one_tensor(3), parts) == bq::errc::out_of_range);
  auto huge = one_tensor((1ll << 61) - 1);
  huge.push_back(huge[0]);
  huge[1].name = "more";
  CHECK(code_of({}, huge) == bq::errc::out_of_range);
  CHECK(dir.empty());
}

TEST_CASE("misuse of an open writer") {
  const test::scratch dir;
  metadata meta;
  meta.set("digest", value::of_string("0000"));
  meta.set("general.alignment", value::of_u32(32));
  const std::vector<float> data{1, 2, 3};
  writer w(dir / "out.gguf", meta, one_tensor(3));
  const auto code_of = [&](auto call) { return failure_of(call).code; };
  CHECK(code_of([&] { w.write(1, 0, {}); }) == bq::errc::out_of_range);
  CHECK(code_of([&] { w.write(0, 4, as_bytes(data)); }) == bq::errc::out_of_range);
  CHECK(code_of([&] { w.write(0, ~0ull, as_bytes(data)); }) == bq::errc::out_of_range);
  CHECK(code_of([&] { w.patch("absent", value::of_u8(1)); }) == bq::errc::missing_key);
  CHECK(code_of([&] { w.patch("digest", value::of_string("00000")); }) == bq::errc::wrong_value_type);
  CHECK(code_of([&] { w.patch("digest", value::of_u64(1)); }) == bq::errc::wrong_value_type);
  CHECK(code_of([&] { w.patch("general.alignment", value::of_u32(64)); }) == bq::errc::wrong_value_type);
  w.patch("digest", value::of_string("beef"));
  w.write(0, 0, as_bytes(data));
  w.commit();
  CHECK(code_of([&] { w.write(0, 0, as_bytes(data)); }) == bq::errc::invalid_argument);
  CHECK(code_of([&] { w.commit(); }) == bq::errc::invalid_argument);
  CHECK(model::open(dir / "out.gguf").metadata().require_string("digest") == "beef");
}

TEST_CASE("writing from several threads") {
  const test::scratch dir;
  constexpr std::size_t count = 1 << 16, pieces = 64;
  std::vector<float> data(count);
  for (std::size_t i = 0; i < count; ++i) data[i] = static_cast<float>(i);
  writer w(dir / "out.gguf", {}, one_tensor(count));
  std::vector<std::thread> threads;
  for (std::size_t k = 0; k < 4; ++k) {
    threads.emplace_back([&, k] {
      constexpr std::size_t bytes = count * sizeof(float) / pieces;
      for (std::size_t i = k; i < pieces; i += 4) w.write(0, i * bytes, as_bytes(data).subspan(i * bytes, bytes));
    });
  }
  for (std::thread& t : threads) t.join();
  w.commit();
  const model m = model::open(dir / "out.gguf");
  CHECK(std::ranges::equal(m.map(m.tensors()[0]), as_bytes(data)));
}
