#include "failure.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <nlohmann/json.hpp>

namespace bq_program {

void print_error(std::string_view program, const bq::error& e, bool json) {
  if (!json) {
    fmt::print(stderr, "{}: {}\n", program, e.what());
    return;
  }
  const bq::error_info& i = e.info();
  nlohmann::ordered_json out{{"code", bq::name(i.code)}, {"message", i.message}};
  const auto add = [&](const char* key, const std::string& text) {
    if (!text.empty()) out[key] = text;
  };
  add("file", i.file);
  add("subject", bq::printable(i.subject, std::string::npos));
  if (i.offset) out["offset"] = *i.offset;
  add("expected", i.expected);
  add("found", i.found);
  add("advice", i.advice);
  fmt::print("{}\n", nlohmann::ordered_json{{"error", out}}.dump(2, ' ', false,
                                                                 nlohmann::ordered_json::error_handler_t::replace));
}

int run_command(CLI::App& app, int argc, char** argv, const bool& json, const std::function<int()>& command) {
  std::signal(SIGXFSZ, SIG_IGN);
  try {
    app.parse(argc, argv);
    return command();
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  } catch (const bq::error& e) {
    print_error(app.get_name(), e, json);
    return e.code() == bq::errc::invalid_argument ? 2 : 1;
  } catch (const std::exception& e) {
    print_error(app.get_name(), bq::error({.code = bq::errc::io, .message = e.what()}), json);
    return 1;
  }
}

}  // namespace bq_program
