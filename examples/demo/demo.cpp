// What each type costs and what it saves: quantises a model to every type there is, by running bq-quantize, measures
// all of them on a text with one run of bq-perplexity, and prints a table from the reports. Files go to a temporary
// folder and are deleted.
//
//   demo BQ_QUANTIZE BQ_PERPLEXITY MODEL.gguf TEXT
//
// relative RMS error = sqrt(sum (quantised - weight)^2 / sum weight^2), over all tensors that were quantised; KL
// divergence is the mean over tokens, from the model as it was.
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

void run(std::vector<std::string> command, const std::string& output = "/dev/null") {
  std::vector<char*> argv;
  for (std::string& word : command) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t redirected;
  posix_spawn_file_actions_init(&redirected);
  posix_spawn_file_actions_addopen(&redirected, STDOUT_FILENO, output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  pid_t child = 0;
  const int refused = posix_spawn(&child, argv[0], &redirected, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&redirected);
  int status = 0;
  if (refused || waitpid(child, &status, 0) != child || status != 0) {
    throw std::runtime_error(fmt::format("this command failed: {}", fmt::join(command, " ")));
  }
}

nlohmann::json read_json(const fs::path& path) { return nlohmann::json::parse(std::ifstream(path)); }

void print_row(const std::string& type, const nlohmann::json& report, const nlohmann::json& measured) {
  fmt::print("{:<7} {:>8.4f} {:>9.2f} MB", type, report.at("bits_per_weight").get<double>(),
             report.at("file_size").get<double>() / 1e6);
  if (const double rms = report.value("rms", 0.0); rms > 0) {
    fmt::print(" {:>#10.3g} %  {:<19}", 100 * rms, report.at("worst_tensor").get<std::string>());
  } else {
    fmt::print(" {:>12}  {:<19}", "exact", "-");
  }
  fmt::print(" {:>6.2f} s {:>11.2f} {:>14.5f}\n", report.at("seconds").get<double>(),
             measured.at("perplexity").at("value").get<double>(), measured.at("kld").at("value").get<double>());
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 5) throw std::runtime_error("usage: demo BQ_QUANTIZE BQ_PERPLEXITY MODEL.gguf TEXT");
  const std::string quantize = argv[1], perplexity = argv[2], model = argv[3], text = argv[4];
  const temporary_folder folder;
  const std::string report = folder.path / "report.json", comparison = folder.path / "comparison.json";

  std::vector<std::string> names,
      compare{perplexity, "--quiet", "--json", "-f", text, "--plot", "", "--compare", model};
  std::vector<nlohmann::json> reports;
  for (const bq::type_info& type : bq::types()) {
    if (type.activation_only) continue;
    names.emplace_back(type.name);
    compare.push_back(folder.path / (names.back() + ".gguf"));
    run({quantize, "--quiet", "--pure", "--report", report, model, compare.back(), names.back()});
    reports.push_back(read_json(report));
  }
  run(compare, comparison);
  const nlohmann::json measured = read_json(comparison).at("models");  // the model as it was comes first

  fmt::print("{:<7} {:>8} {:>12} {:>12}  {:<19} {:>8} {:>11} {:>14}\n", "type", "bits", "file size", "RMS error",
             "worst tensor", "time", "perplexity", "KL divergence");
  for (std::size_t i = 0; i < names.size(); ++i) print_row(names[i], reports[i], measured.at(i + 1));
} catch (const std::exception& e) {
  fmt::print(stderr, "demo: {}\n", e.what());
  return EXIT_FAILURE;
}
