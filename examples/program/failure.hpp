// How every program ends when something fails: the error on standard error as one line, or with --json as an object on
// standard output, and the exit code: 0 done, 1 refused or failed, 2 the command line makes no sense.
#pragma once
#include <blockquant/error.hpp>
#include <functional>
#include <string_view>

namespace CLI {
class App;
}

namespace bq_program {

// {"error": {"code", "message"}} with "file", "subject", "offset", "expected", "found", "advice" as far as known.
void print_error(std::string_view program, const bq::error& e, bool json);

// Parses the command line and calls `command`, whose result is the exit code; prints what they throw. `json` is looked
// at when an error is printed. File size limits become errors too.
int run_command(CLI::App& app, int argc, char** argv, const bool& json, const std::function<int()>& command);

}  // namespace bq_program
