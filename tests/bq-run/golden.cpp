#include "golden.hpp"

#include <doctest/doctest.h>

#include <blockquant/gguf.hpp>
#include <cstdint>
#include <fstream>

#include "tokenizer/tokenizer.hpp"

namespace bq_run_test {

const std::vector<golden>& golden_continuations() {
  static const std::vector<golden> all = [] {
    constexpr std::ptrdiff_t generated = 40, vocabulary = 4096;
    const auto tokenizer = bq_llm::tokenizer::from(bq::gguf::model::open(BQ_MODEL).metadata());
    std::ifstream in(BQ_GOLDEN, std::ios::binary);
    const auto number = [&] {
      std::int32_t n = 0;
      in.read(reinterpret_cast<char*>(&n), 4);
      return n;
    };
    std::vector<golden> out(3);
    for (golden& g : out) {
      std::vector<int> ids(static_cast<std::size_t>(number()));
      const std::int32_t positions = number();
      for (int& id : ids) id = number();
      in.ignore(positions * (4 + 4 * vocabulary));
      g.prompt_ids.assign(ids.begin(), ids.end() - generated);
      g.ids.assign(ids.end() - generated, ids.end());
      g.prompt = tokenizer.decode(g.prompt_ids, false);
    }
    REQUIRE(in);
    return out;
  }();
  return all;
}

}  // namespace bq_run_test
