// Interleaved weights: the same bits as from the file's layout, for every type, instruction set and tier, and nothing
// read or written beyond their memory.
#include <blockquant/interleave.hpp>

#include "problem.hpp"

TEST_CASE("products with interleaved weights have the same bits") {
  bq::thread_pool threads(2);
  for (const bq::type_info& t : bq::types()) {
    INFO(std::string(t.name));
    for (const auto& shape : {std::pair{1, 1}, {17, 2}, {70, 4}, {150, 1}, {65, 13}}) {
      const int rows = shape.first, tokens = shape.second;
      const problem p(t.id, rows, t.quantized ? 3 * 256 : 100, tokens);
      for (const std::string_view isa : bq::isas()) {
        INFO(std::string(isa) << ", " << rows << " rows, " << tokens << " tokens");
        const bq::matmul_options options{.threads = &threads, .isa = isa};
        const test::guarded<std::byte> memory(bq::interleaved_bytes(p.w(), options));
        const bq::matrix w = bq::interleave(p.w(), memory.span(), options);
        CHECK((w.interleaved > 0) == t.quantized);
        for (const bq::tier tier : {bq::tier::exact, bq::tier::precise, bq::tier::fast}) {
          test::guarded<float> y(static_cast<std::size_t>(rows * tokens));
          bq::matmul(w, p.x.span(), tokens, y.span(), {.tier = tier, .threads = &threads, .isa = isa});
          CHECK(same_bits({y.span().begin(), y.span().end()}, p.product({.tier = tier})));
        }
      }
    }
  }
}

TEST_CASE("interleaved weights with a short last word, and the errors") {
  const problem p(bq::type::q4_0, 33, 32 * 233, 1);  // rows of 4194 bytes
  std::vector<std::byte> memory(bq::interleaved_bytes(p.w()));
  bq::matrix w = bq::interleave(p.w(), memory);
  std::vector<float> y(33);
  bq::matmul(w, p.x.span(), 1, y);
  CHECK(same_bits(y, p.product()));

  CHECK(code_of([&] { bq::interleave(p.w(), std::span(memory).first(memory.size() - 1)); }) == bq::errc::bad_shape);
  w.blocks = w.blocks.first(w.blocks.size() - 1);
  CHECK(code_of([&] { bq::matmul(w, p.x.span(), 1, y); }) == bq::errc::bad_shape);
  w.blocks = memory;
  w.interleaved = 3;
  CHECK(code_of([&] { bq::matmul(w, p.x.span(), 1, y); }) == bq::errc::invalid_argument);
}
