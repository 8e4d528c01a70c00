// Running a program as a user does: in a process of its own, in a scratch folder that is removed afterwards. Each test
// binary has one, PROGRAM_UNDER_TEST.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace program {

struct outcome {
  int exit_code = -1;  // 128 + signal when it was killed
  std::string out, err;
  std::uint64_t peak_anonymous = 0;  // bytes of anonymous memory, sampled; only by run_watched
};

outcome run(const std::vector<std::string>& arguments, const std::string& input = {});
// As run, with the largest file size the process may write, as a full disk would.
outcome run_with_file_limit(const std::vector<std::string>& arguments, std::uint64_t bytes);
// As run; samples the process's anonymous memory every few milliseconds.
outcome run_watched(const std::vector<std::string>& arguments);
// Starts the program and kills it with SIGKILL as soon as it reports a first step on standard error. Fails the test
// when it ends before that.
void run_and_kill(const std::vector<std::string>& arguments);
// Sends SIGINT as soon as the program has written something to standard output or, with `at_error`, to standard error
// what holds that text. Fails the test when it ends before that.
outcome run_and_interrupt(const std::vector<std::string>& arguments, const std::string& at_error = {});

class scratch {
 public:
  scratch();
  ~scratch();
  scratch(const scratch&) = delete;
  scratch& operator=(const scratch&) = delete;
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  std::vector<std::string> files() const;  // names, sorted
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

std::string read_file(const std::string& path);
void write_file(const std::string& path, const std::string& bytes);

// A small llama with Gaussian weights: `layers` layers of width `cols`, and `vocabulary` tokens. Rows that are no
// multiple of 256 make K types fall back.
struct model_shape {
  std::int64_t cols = 256, vocabulary = 128;
  int layers = 2;
};
void write_model(const std::string& path, const model_shape& shape = {});

}  // namespace program
