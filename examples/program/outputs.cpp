#include "outputs.hpp"

#include <blockquant/error.hpp>
#include <blockquant/output_file.hpp>
#include <filesystem>

namespace bq_program {

void require_distinct(const std::string& output, std::span<const std::string> inputs) {
  for (const std::string& in : inputs) {
    std::error_code absent;
    if (std::filesystem::equivalent(output, in, absent)) {
      throw bq::error({.code = bq::errc::same_file,
                       .message = "the output is an input: " + in,
                       .file = output,
                       .advice = "choose another name for the output"});
    }
  }
}

void require_writable(const std::string& output) { const bq::output_file attempt(output, 0, true); }

}  // namespace bq_program
