#include "session.hpp"

#include <blockquant/error.hpp>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <system_error>

namespace bq_perplexity {

std::string read_text(const std::string& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    throw bq::error({.code = bq::errc::not_a_file, .message = "not a file", .file = path});
  }
  std::ifstream file(path, std::ios::binary);
  std::string text(std::istreambuf_iterator<char>(file), {});
  if (!file) {
    throw bq::error({.code = bq::errc::io,
                     .message = "the text cannot be read",
                     .file = path,
                     .found = std::generic_category().message(errno)});
  }
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

bq_llm::window_evaluator_options evaluator_options(const request& r, bq::executor& threads) {
  return {.evaluation = {.tier = r.tier, .threads = &threads}, .keys = r.keys, .values = r.values, .batch = r.batch};
}

nlohmann::ordered_json to_json(const bq_llm::estimate& e) { return {{"value", e.value}, {"error", e.error}}; }

}  // namespace bq_perplexity
