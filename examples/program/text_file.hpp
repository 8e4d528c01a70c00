// Texts that users name on the command line.
#pragma once
#include <string>

namespace bq_program {

// The bytes of a file; "-" is standard input. Throws errc::io, errc::not_a_file.
std::string read_file(const std::string& path);
// Without a newline at its very end, which editors put there and llama.cpp drops too.
std::string read_text(const std::string& path);

}  // namespace bq_program
