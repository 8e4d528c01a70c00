// An output that is one of the inputs: replacing it would lose it.
#pragma once
#include <span>
#include <string>

namespace bq_program {

// Throws errc::same_file where `output` exists and is the same file as one of `inputs`, under whatever name.
void require_distinct(const std::string& output, std::span<const std::string> inputs);

}  // namespace bq_program
