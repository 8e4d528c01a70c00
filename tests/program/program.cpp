#include "program.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <blockquant/gguf.hpp>
#include <blockquant/quantize.hpp>
#include <chrono>
#include <fstream>
#include <random>
#include <sstream>
#include <thread>

namespace program {

namespace fs = std::filesystem;

namespace {

struct child {
  pid_t pid;
  fs::path out, err;
};

child start(const std::vector<std::string>& arguments, const scratch& logs, std::uint64_t file_limit,
            const std::string& input = {}) {
  child c{0, logs / "out", logs / "err"};
  const std::string in_path = logs / "in";
  write_file(in_path, input);
  std::vector<char*> argv{const_cast<char*>(PROGRAM_UNDER_TEST)};
  for (const auto& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  c.pid = fork();
  REQUIRE(c.pid >= 0);
  if (c.pid == 0) {
    const int in = open(in_path.c_str(), O_RDONLY | O_CLOEXEC);
    const int out = open(c.out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600),
              err = open(c.err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    if (file_limit) {
      const rlimit limit{file_limit, file_limit};
      setrlimit(RLIMIT_FSIZE, &limit);
    }
    execv(argv[0], argv.data());
    _exit(127);
  }
  return c;
}

outcome finished(const child& c, int status) {
  outcome o;
  o.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  o.out = read_file(c.out);
  o.err = read_file(c.err);
  return o;
}

outcome wait_for(const child& c) {
  int status = 0;
  REQUIRE(waitpid(c.pid, &status, 0) == c.pid);
  return finished(c, status);
}

std::uint64_t anonymous_bytes(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) return std::stoull(line.substr(8)) * 1024;
  }
  return 0;
}

}  // namespace

outcome run(const std::vector<std::string>& arguments, const std::string& input) {
  const scratch logs;
  return wait_for(start(arguments, logs, 0, input));
}

outcome run_with_file_limit(const std::vector<std::string>& arguments, std::uint64_t bytes) {
  const scratch logs;
  return wait_for(start(arguments, logs, bytes));
}

outcome run_watched(const std::vector<std::string>& arguments) {
  const scratch logs;
  const child c = start(arguments, logs, 0);
  std::uint64_t peak = 0;
  int status = 0;
  while (waitpid(c.pid, &status, WNOHANG) == 0) {
    peak = std::max(peak, anonymous_bytes(c.pid));
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  outcome o = finished(c, status);
  o.peak_anonymous = peak;
  return o;
}

void run_and_kill(const std::vector<std::string>& arguments) {
  const scratch logs;
  const child c = start(arguments, logs, 0);
  int status = 0;
  while (read_file(c.err).find('[') == std::string::npos) {
    REQUIRE_MESSAGE(waitpid(c.pid, &status, WNOHANG) == 0,
                    "the program ended before it could be killed: " << read_file(c.err));
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  kill(c.pid, SIGKILL);
  REQUIRE(waitpid(c.pid, &status, 0) == c.pid);
  REQUIRE(WIFSIGNALED(status));
}

outcome run_and_interrupt(const std::vector<std::string>& arguments, const std::string& at_error) {
  const scratch logs;
  const child c = start(arguments, logs, 0);
  int status = 0;
  while (at_error.empty() ? read_file(c.out).empty() : read_file(c.err).find(at_error) == std::string::npos) {
    REQUIRE_MESSAGE(waitpid(c.pid, &status, WNOHANG) == 0,
                    "the program ended before it could be interrupted: " << read_file(c.err));
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  kill(c.pid, SIGINT);
  return wait_for(c);
}

scratch::scratch() {
  std::string pattern = (fs::temp_directory_path() / "bq-test-XXXXXX").string();
  REQUIRE(mkdtemp(pattern.data()) != nullptr);
  path_ = pattern;
}

scratch::~scratch() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::vector<std::string> scratch::files() const {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(path_)) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void write_file(const std::string& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << bytes;
  REQUIRE(file.good());
}

void write_model(const std::string& path, const model_shape& shape) {
  using bq::gguf::value;
  bq::gguf::metadata meta;
  meta.set("general.architecture", value::of_string("llama"));
  meta.set("general.name", value::of_string("test"));
  meta.set("llama.block_count", value::of_u32(static_cast<std::uint32_t>(shape.layers)));
  meta.set("llama.attention.head_count", value::of_u32(4));
  meta.set("llama.attention.head_count_kv", value::of_u32(2));
  meta.set("llama.embedding_length", value::of_u32(static_cast<std::uint32_t>(shape.cols)));

  std::vector<bq::gguf::tensor_shape> tensors;
  const auto add = [&](const std::string& name, std::int64_t cols, std::int64_t rows) {
    bq::gguf::tensor_shape t;
    t.name = name;
    t.type_id = static_cast<std::uint32_t>(rows ? bq::type::f16 : bq::type::f32);
    t.n_dims = rows ? 2 : 1;
    t.ne = {cols, std::max<std::int64_t>(rows, 1), 1, 1};
    t.bytes = static_cast<std::uint64_t>(t.elements()) * (rows ? 2 : 4);
    tensors.push_back(t);
  };
  add("token_embd.weight", shape.cols, shape.vocabulary);
  add("output_norm.weight", shape.cols, 0);
  for (int i = 0; i < shape.layers; ++i) {
    const std::string layer = "blk." + std::to_string(i) + ".";
    add(layer + "attn_norm.weight", shape.cols, 0);
    for (const char* name : {"attn_q", "attn_output", "ffn_down", "ffn_up"})
      add(layer + name + ".weight", shape.cols, shape.cols);
    for (const char* name : {"attn_k", "attn_v"}) add(layer + name + ".weight", shape.cols, shape.cols / 2);
  }

  std::mt19937 random(42);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  bq::gguf::writer writer(path, meta, tensors);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    std::vector<float> x(static_cast<std::size_t>(tensors[i].elements()));
    for (float& v : x) v = normal(random);
    std::vector<std::byte> bytes(tensors[i].bytes);
    bq::quantize(static_cast<bq::type>(tensors[i].type_id), x, 1, tensors[i].elements(), bytes);
    writer.write(i, 0, bytes);
  }
  writer.commit();
}

}  // namespace program
