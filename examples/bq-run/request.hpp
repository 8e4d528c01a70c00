// What the command line asks for. Every command is a function of a request, returns the exit code, and throws
// bq::error.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "generation.hpp"

namespace bq_run {

struct request : session_options {
  generation_options generation;
  std::optional<std::uint64_t> seed;       // not given: a random one
  std::optional<std::string> prompt;       // its text
  std::optional<std::string> prompt_file;  // or where it is
  bool chat = false;
  std::string system;         // what the conversation begins with; empty: nothing
  std::string template_file;  // empty: the model's own template
  bool echo = false;          // the prompt is shown before what follows
  bool json = false, quiet = false;
};

struct bench_request : session_options {
  std::vector<std::int64_t> prompt_lengths{512}, generated_lengths{128};
  int repetitions = 5;
  bool json = false, quiet = false;
};

struct tokenize_request {
  std::string model;
  std::optional<std::string> text, file;
  bool no_bos = false, no_special = false, json = false;
};

int complete_command(const request& r);
int chat_command(const request& r);
int bench_command(const bench_request& r);
int tokenize_command(const tokenize_request& r);

// The text of either; throws errc::invalid_argument where there is neither.
std::string prompt_text(const std::optional<std::string>& text, const std::optional<std::string>& file);

}  // namespace bq_run
