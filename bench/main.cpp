// bq-bench: how fast this machine computes with each format, as shares of what it could do. This file is the command
// line. Exit codes: 0 done, 1 failed or a wrong result, 2 the command line makes no sense.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <blockquant/error.hpp>
#include <blockquant/matmul.hpp>
#include <cstdio>
#include <memory>
#include <thread>

#include "machine.hpp"
#include "report.hpp"
#include "run.hpp"

namespace {

using namespace bq_bench;

constexpr const char* description =
    R"(Times the library's operations, checks each result first, and says what share of the machine was reached.

  bq-bench                                       products in every format: one token and 512, one thread and all
  bq-bench --quick                               the same in a fraction of the time, less exactly
  bq-bench --format q4_K,q8_0 --tokens 1,8,64    some formats and batches
  bq-bench --isa all --tier all --threads 1      what each instruction set and tier is worth
  bq-bench --op quantize,dequantize              conversions instead of products
  bq-bench --cache --rows 1024 --tokens 1        weights that fit the cache, and stay in it
  bq-bench --neighbour --threads 2 --tokens 64   how much a busy process on one processor costs
  bq-bench --json > here.json                    for programs: an array of objects

Lists are separated by commas; "all" stands for every value. Weights are random, and rotate through more than twice
the last-level cache unless --cache is given. Where bq-bench was built with ggml, ggml does the same work in turns.)";

struct texts {
  std::vector<std::string> ops{"matmul"}, formats{"all"}, isas, tiers{"exact"}, threads{"1", "all"};
};

// The values named in a list, each once; all of `choices` for "all".
template <class Choices, class Name, class Take>
void select(const std::vector<std::string>& words, const char* option, const Choices& choices, const Name& name,
            const Take& take) {
  std::string known;
  for (const auto& c : choices) known += (known.empty() ? "" : ", ") + std::string(name(c));
  for (const std::string& word : words) {
    bool found = false;
    for (const auto& c : choices) {
      if (word != "all" && CLI::detail::to_lower(word) != CLI::detail::to_lower(std::string(name(c)))) continue;
      found = true;
      take(c);
    }
    if (!found) {
      throw bq::error({.code = bq::errc::invalid_argument,
                       .message = "no such choice on this machine",
                       .subject = option,
                       .expected = known + ", or all",
                       .found = word});
    }
  }
}

int thread_count(const std::string& word) {
  if (word == "all") return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  int n = 0;
  if (!CLI::detail::lexical_cast(word, n) || n < 1 || n > 1024) {
    throw bq::error({.code = bq::errc::invalid_argument,
                     .message = "no such number of threads",
                     .subject = "--threads",
                     .expected = "1 to 1024, or all",
                     .found = word});
  }
  return n;
}

template <class T>
void add_once(std::vector<T>& list, const T& value) {
  if (std::find(list.begin(), list.end(), value) == list.end()) list.push_back(value);
}

void parse(const texts& t, request& r) {
  select(
      t.ops, "--op", operations(), [](const operation& o) { return o.name; },
      [&](const operation& o) { add_once(r.ops, &o); });
  std::vector<bq::type_info> formats(bq::types().begin(), bq::types().end());
  std::erase_if(formats, [](const bq::type_info& f) { return f.activation_only; });
  select(
      t.formats, "--format", formats, [](const bq::type_info& f) { return f.name; },
      [&](const bq::type_info& f) { add_once(r.formats, bq::find_type(f.id)); });
  if (t.isas.empty()) r.isas.push_back(bq::chosen_isa());
  select(
      t.isas, "--isa", bq::isas(), [](std::string_view n) { return n; },
      [&](std::string_view n) { add_once(r.isas, n); });
  select(
      t.tiers, "--tier", tiers(), [](const named_tier& n) { return n.name; },
      [&](const named_tier& n) { add_once(r.tiers, n.tier); });
  for (const std::string& word : t.threads) add_once(r.threads, thread_count(word));
}

enum class style { text, csv, json };

void bench(const request& r, style s) {
  const machine m = measure_machine(r.threads, r.quick);
  auto array = nlohmann::ordered_json::array();
  if (s == style::text) fmt::print("{}", text_header(m));
  if (s == style::csv) fmt::print("{}", csv_header());
  run(r, [&](const result& row) {
    if (s == style::text) fmt::print("{}", text_row(row, m));
    if (s == style::csv) fmt::print("{}", csv_row(row, m));
    if (s == style::json) array.push_back(to_json(row, m));
    std::fflush(stdout);
  });
  if (s == style::json) fmt::print("{}\n", array.dump(2));
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(description, "bq-bench");
  request r;
  texts t;
  style s = style::text;

  const auto list = [&](const char* option, auto& target, const char* help) {
    return app.add_option(option, target, help)->delimiter(',')->type_name("LIST");
  };
  std::string op_help = "what to time:";
  for (const operation& o : operations()) op_help += fmt::format(" {} ({});", o.name, o.what);
  list("--op", t.ops, (op_help + " default matmul").c_str());
  list("--format", t.formats, "types of the weights, as in GGUF (q4_K); default all");
  list("--isa", t.isas, "instruction sets for products; default the one the library chooses here");
  list("--tier", t.tiers,
       "exact (activations of 8 bits), precise (16 bits), fast (weights encoded anew); default exact");
  list("--rows", r.rows, "output features; default 4096")->check(CLI::PositiveNumber);
  list("--cols", r.cols, "input features; default 4096")->check(CLI::PositiveNumber);
  list("--tokens", r.tokens, "batch sizes of products; default 1,512")->check(CLI::PositiveNumber);
  list("--threads", t.threads, "default 1,all");
  app.add_flag("--quick", r.quick, "few repetitions: seconds instead of minutes");
  app.add_flag("--cache", r.cached, "one copy of the weights, in the cache where they fit");
  app.add_flag("--neighbour", r.neighbour, "measure again with a busy process on one processor; medians of 200");
  auto* csv = app.add_flag_callback(
      "--csv", [&s] { s = style::csv; }, "print CSV");
  app.add_flag_callback(
         "--json", [&s] { s = style::json; }, "print a JSON array when all is done")
      ->excludes(csv);

  try {
    app.parse(argc, argv);
    parse(t, r);
    bench(r, s);
    return 0;
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  } catch (const bq::error& e) {
    fmt::print(stderr, "bq-bench: {}\n", e.what());
    return e.code() == bq::errc::invalid_argument ? 2 : 1;
  } catch (const std::exception& e) {
    fmt::print(stderr, "bq-bench: {}\n", e.what());
    return 1;
  }
}
