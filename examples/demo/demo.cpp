// What each type costs and what it saves: quantises a model to every type there is, by running bq-quantize, and prints
// a table from its reports. Files go to a temporary folder and are deleted.
//
//   demo BQ_QUANTIZE MODEL.gguf
//
// relative RMS error = sqrt(sum (quantised - weight)^2 / sum weight^2), over all tensors that were quantised.
#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <blockquant/types.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

namespace fs = std::filesystem;

namespace {

struct temporary_folder {
  fs::path path;
  temporary_folder() {
    std::string pattern = (fs::temp_directory_path() / "blockquant-demo-XXXXXX").string();
    if (!mkdtemp(pattern.data())) throw fs::filesystem_error("mkdtemp", pattern, {errno, std::generic_category()});
    path = pattern;
  }
  ~temporary_folder() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
};

void run(std::vector<std::string> command) {
  std::vector<char*> argv;
  for (std::string& word : command) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t silent;
  posix_spawn_file_actions_init(&silent);
  posix_spawn_file_actions_addopen(&silent, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t child = 0;
  const int refused = posix_spawn(&child, argv[0], &silent, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&silent);
  int status = 0;
  if (refused || waitpid(child, &status, 0) != child || status != 0) {
    throw std::runtime_error(fmt::format("this command failed: {}", fmt::join(command, " ")));
  }
}

void print_row(const std::string& type, const nlohmann::json& report) {
  fmt::print("{:<8} {:>15.4f} {:>12.2f} MB", type, report.at("bits_per_weight").get<double>(),
             report.at("file_size").get<double>() / 1e6);
  if (const double rms = report.value("rms", 0.0); rms > 0) {
    fmt::print(" {:>#18.3g} %  {:<24}", 100 * rms, report.at("worst_tensor").get<std::string>());
  } else {
    fmt::print(" {:>20}  {:<24}", "exact", "-");
  }
  fmt::print(" {:>6.2f} s\n", report.at("seconds").get<double>());
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 3) throw std::runtime_error("usage: demo BQ_QUANTIZE MODEL.gguf");
  const temporary_folder folder;
  const std::string output = folder.path / "model.gguf", report = folder.path / "report.json";
  fmt::print("{:<8} {:>15} {:>15} {:>20}  {:<24} {:>8}\n", "type", "bits per weight", "file size", "relative RMS error",
             "worst tensor", "time");
  for (const bq::type_info& type : bq::types()) {
    if (type.activation_only) continue;
    const std::string name(type.name);
    run({argv[1], "--quiet", "--pure", "--report", report, argv[2], output, name});
    print_row(name, nlohmann::json::parse(std::ifstream(report)));
  }
} catch (const std::exception& e) {
  fmt::print(stderr, "demo: {}\n", e.what());
  return EXIT_FAILURE;
}
