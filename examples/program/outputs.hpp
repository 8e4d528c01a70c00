// Outputs, looked at before the work begins: one that is an input would be lost, one that cannot be written would be
// noticed at the end.
#pragma once
#include <span>
#include <string>

namespace bq_program {

// Throws errc::same_file where `output` exists and is the same file as one of `inputs`, under whatever name.
void require_distinct(const std::string& output, std::span<const std::string> inputs);

// Throws as bq::output_file where no file of this name could be made or replaced. Changes nothing.
void require_writable(const std::string& output);

}  // namespace bq_program
