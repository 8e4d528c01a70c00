// Stop strings in streams: found wherever the pieces are cut, and nothing else is lost or shown late.
#include "stop_strings.hpp"

#include <doctest/doctest.h>

#include <blockquant/error.hpp>

namespace {

std::string shown(const std::vector<std::string>& stops, const std::string& text, std::size_t piece) {
  bq_run::stop_strings s(stops);
  std::string out;
  for (std::size_t at = 0; at < text.size() && !s.found(); at += piece) out += s.push(text.substr(at, piece));
  return out + s.finish();
}

}  // namespace

TEST_CASE("stop strings: found across pieces, the earliest first") {
  const std::string text = "aababc-END-x";
  for (std::size_t piece = 1; piece <= text.size(); ++piece) {
    CAPTURE(piece);
    CHECK(shown({"abc"}, text, piece) == "aab");
    CHECK(shown({"END", "abc"}, text, piece) == "aab");
    CHECK(shown({"-END-"}, text, piece) == "aababc");
    CHECK(shown({"-END-y", "zz"}, text, piece) == text);
    CHECK(shown({}, text, piece) == text);
  }
  CHECK_THROWS_AS(bq_run::stop_strings({"a", ""}), bq::error);
}

TEST_CASE("stop strings: only what may begin one is held back") {
  bq_run::stop_strings s({"END"});
  CHECK(s.push("go EN") == "go ");
  CHECK(s.push("T E") == "ENT ");
  CHECK(s.push("N") == "");
  CHECK(s.push("D of it") == "");
  CHECK(s.found());
  CHECK(s.push("more") == "");
  CHECK(s.finish() == "");
}
