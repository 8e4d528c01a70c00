// bq-bench as a user runs it: what its JSON and CSV hold, and how it refuses. Timings are never compared with anything.
#include <doctest/doctest.h>
#include <sys/wait.h>

#include <array>
#include <blockquant/matmul.hpp>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

namespace {

using nlohmann::json;

struct outcome {
  int exit_code;
  std::string out;
};

outcome run(const std::string& arguments) {
  FILE* pipe = popen((BQ_BENCH_PROGRAM " " + arguments + " 2>&1").c_str(), "r");
  REQUIRE(pipe);
  std::string out;
  std::array<char, 4096> piece;
  for (std::size_t n; (n = std::fread(piece.data(), 1, piece.size(), pipe)) > 0;) out.append(piece.data(), n);
  const int status = pclose(pipe);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, out};
}

constexpr const char* keys[] = {"op",
                                "format",
                                "isa",
                                "tier",
                                "rows",
                                "cols",
                                "tokens",
                                "threads",
                                "seconds",
                                "gops",
                                "gbps",
                                "peak_fraction",
                                "bandwidth_fraction",
                                "max_error",
                                "spread",
                                "peer",
                                "ratio"};

// The library's own rows; those of peers follow where one was found at configuration.
std::vector<json> own_rows(const json& all) {
  std::vector<json> out;
  for (const json& row : all) {
    for (const char* key : keys) CHECK_MESSAGE(row.contains(key), key);
    CHECK(row.at("peer").is_null() == row.at("ratio").is_null());
    if (row.at("peer").is_null()) out.push_back(row);
  }
  return out;
}

}  // namespace

TEST_CASE("products: one object for each combination, with consistent numbers") {
  const outcome done =
      run("--quick --json --cache --rows 48 --cols 256,512 --tokens 1,3 --threads 1,2 --tier all --format q4_K,F16");
  REQUIRE_MESSAGE(done.exit_code == 0, done.out);
  const auto rows = own_rows(json::parse(done.out));
  REQUIRE(rows.size() == 2 * 2 * 2 * 2 * 3);
  for (const json& row : rows) {
    CHECK(row.at("op") == "matmul");
    CHECK((row.at("format") == "q4_K" || row.at("format") == "f16"));
    CHECK(row.at("isa") == bq::chosen_isa());
    CHECK(row.at("rows") == 48);
    const double seconds = row.at("seconds"), gops = row.at("gops"), threads = row.at("threads");
    CHECK(seconds > 0);
    CHECK(row.at("best_seconds").get<double>() <= seconds);
    CHECK(row.at("spread").get<double>() >= 0);
    CHECK(gops ==
          doctest::Approx(2.0 * 48 * row.at("cols").get<double>() * row.at("tokens").get<double>() / seconds * 1e-9));
    CHECK(row.at("peak_fraction").get<double>() ==
          doctest::Approx(gops / (threads * row.at("int8_peak_gops").get<double>())));
    CHECK(row.at("bandwidth_fraction").get<double>() ==
          doctest::Approx(row.at("gbps").get<double>() / row.at("read_gbps").get<double>()));
    CHECK(row.at("fma_fraction").is_null() == (row.at("format") == "q4_K"));
    CHECK(row.at("max_error").get<double>() < 0.01);
  }
}

TEST_CASE("a busy neighbour adds its ratio") {
  const auto found = run("--quick --json --neighbour --format q8_0 --rows 64 --cols 256 --tokens 5 --threads 2");
  REQUIRE_MESSAGE(found.exit_code == 0, found.out);
  for (const json& row : json::parse(found.out)) CHECK(row.at("neighbour_ratio").get<double>() > 0);
  for (const json& row : json::parse(run("--quick --json --format q8_0 --rows 64 --cols 256 --tokens 5").out))
    CHECK(row.at("neighbour_ratio").is_null());
}

TEST_CASE("conversions have no operations, tier or tokens") {
  const outcome done =
      run("--quick --json --cache --op quantize,dequantize --rows 200 --cols 256 --threads 1 --format q8_0,q2_K");
  REQUIRE_MESSAGE(done.exit_code == 0, done.out);
  const auto rows = own_rows(json::parse(done.out));
  REQUIRE(rows.size() == 4);
  for (const json& row : rows) {
    for (const char* key : {"tier", "tokens", "gops", "peak_fraction"}) CHECK(row.at(key).is_null());
    CHECK(row.at("isa") == (row.at("op") == "quantize" ? json(bq::chosen_isa()) : json()));
    CHECK(row.at("gbps").get<double>() == doctest::Approx(200 * 256 * 4 / row.at("seconds").get<double>() * 1e-9));
    CHECK(row.at("max_error").get<double>() > 0);
  }
}

TEST_CASE("CSV: a header and as many fields in each line") {
  const outcome done = run("--quick --csv --cache --rows 48 --cols 256 --tokens 1 --threads 1 --format q4_0");
  REQUIRE_MESSAGE(done.exit_code == 0, done.out);
  const std::string& out = done.out;
  const std::string header = out.substr(0, out.find('\n'));
  CHECK(header.starts_with("op,format,isa,tier,rows,cols,tokens,threads,seconds,"));
  const std::string row = out.substr(header.size() + 1, out.find('\n', header.size() + 1) - header.size() - 1);
  CHECK(row.starts_with("matmul,q4_0,"));
  CHECK(std::count(row.begin(), row.end(), ',') >= std::count(header.begin(), header.end(), ','));
}

TEST_CASE("what makes no sense is refused, and named") {
  struct {
    const char *arguments, *named;
    int code;
  } const cases[] = {{"--format q9_9", "q9_9", 2},    {"--op divide", "divide", 2},
                     {"--isa mmx", "mmx", 2},         {"--tier rough", "rough", 2},
                     {"--threads 0", "--threads", 2}, {"--rows 0", "--rows", 2},
                     {"--csv --json", "--json", 2},   {"--format q4_K --cols 96", "multiples of 256", 1}};
  for (const auto& c : cases) {
    const outcome done = run(std::string("--quick ") + c.arguments);
    CHECK_MESSAGE(done.exit_code == c.code, c.arguments);
    CHECK_MESSAGE(done.out.find(c.named) != done.out.npos, done.out);
  }
  CHECK(run("--help").exit_code == 0);
}
