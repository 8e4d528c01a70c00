#include "program/text_file.hpp"

#include <blockquant/error.hpp>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <system_error>

namespace bq_program {

std::string read_file(const std::string& path) {
  if (path == "-") return {std::istreambuf_iterator<char>(std::cin), {}};
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
  return text;
}

std::string read_text(const std::string& path) {
  std::string text = read_file(path);
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

}  // namespace bq_program
