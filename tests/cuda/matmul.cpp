// Products of few tokens on the GPU against f64 on the host (oracle.hpp), for every format, at odd shapes and with
// activations up to 6e4. Batches of any size, repeated runs, graphs and chains of kernels that overlap give the same
// bits.
#include <cmath>
#include <numeric>

#include "blockquant/cuda_ops.hpp"
#include "oracle.hpp"
#include "src/cuda/matvec.hpp"

namespace {

using oracle::check_against_f64, oracle::make_activations, oracle::make_weights, oracle::product, oracle::weights;

constexpr int most_tokens = 64;

bool same_bits(const float* a, const float* b, std::size_t n) {
  return std::equal(a, a + n, b, [](float p, float q) { return bq::f32_to_bits(p) == bq::f32_to_bits(q); });
}

// Checks the runs of all warps for a batch: `tiles` rows of tiles from a block's first one on, `sections` from
// `section` on.
void check_runs(const bq::cuda::matvec_plan& plan, int col_tiles, int tiles, int section, int sections) {
  using bq::cuda::matvec_notes, bq::cuda::section_tiles;
  using run = matvec_notes::run;
  bq::cuda::matvec_call call{};
  call.col_tiles = col_tiles;
  call.batch_sections = plan.batch_sections;
  call.sections = plan.sections;
  call.share = plan.share;
  call.by_cols = bq::cuda::fraction(col_tiles);
  call.by_sections = bq::cuda::fraction(plan.sections);
  std::vector<int> seen(static_cast<std::size_t>(tiles * col_tiles));
  int opened = -1;  // the place where the warp before ends, if that is within a section
  for (int warp = 0; warp < plan.warps; ++warp) {
    run memory[matvec_notes::most_runs];
    bq::cuda::matvec_runs runs{0, memory};
    for (int lane = 0; lane < 32; ++lane) {
      if (plan.share > 0) {
        runs.take_shares(call, tiles, warp, lane);
      } else {
        runs.take_turns(call, tiles, section, sections, warp, plan.warps, lane);
      }
      REQUIRE(runs.count <= matvec_notes::most_runs);
    }
    int closed = -1, opens = -1;
    for (int i = 0; i < runs.count; ++i) {
      const run& r = runs[i];
      const int column = r.first - r.row() * col_tiles, in = column / section_tiles, end = column + r.pieces();
      REQUIRE((r.row() < tiles && r.pieces() > 0 && in >= section && in < section + sections));
      for (int piece = 0; piece < r.pieces(); ++piece) ++seen[static_cast<std::size_t>(r.first + piece)];
      const bool begins = column == in * section_tiles, ends = end == std::min((in + 1) * section_tiles, col_tiles);
      if (r.does() == run::opens) {
        CHECK((i == 0 && begins && !ends));
        opens = r.first + r.pieces();
      } else if (r.does() == run::closes) {
        CHECK((i == runs.count - 1 && !begins && ends));
        closed = r.first;
      } else {
        CHECK((begins && ends));
      }
    }
    CHECK(closed == opened);  // with what the warp before has left
    opened = opens;
  }
  CHECK(opened == -1);
  int wrong = 0;
  for (int i = 0; i < tiles * col_tiles; ++i) {
    const int in = i % col_tiles / section_tiles;
    wrong += seen[static_cast<std::size_t>(i)] != (in >= section && in < section + sections);
  }
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE_TEMPLATE_DEFINE("products agree with f64, and their bits do not depend on the batch", F, product_of) {
  if constexpr (!bq::activation_format<F>) {
    if (bq::cuda::device_count() == 0) return;
    CAPTURE(F::name);
    bq::cuda::transfer mover;
    constexpr std::int64_t block = F::block_size;
    const std::int64_t shapes[][2] = {{1, block},         {17, 3 * block}, {40, 1024},
                                      {15, 1024 + block}, {2120, 256},     {33, 5120 / block * block}};
    for (const auto& shape : shapes) {
      const std::int64_t rows = shape[0], cols = shape[1];
      CAPTURE(rows);
      CAPTURE(cols);
      const weights w = make_weights<F>(rows, cols, static_cast<unsigned>(rows));
      const bq::cuda::device_matrix on_device = mover.upload({F::id, rows, cols, w.blocks});
      const std::vector<float> x = make_activations(most_tokens, cols);
      const device::array device_x(x);
      const std::vector<float> y = product(on_device, device_x, 0, most_tokens);
      check_against_f64(w, x, y);
      CHECK(same_bits(product(on_device, device_x, 0, most_tokens).data(), y.data(), y.size()));
      for (const std::int64_t tokens : {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 31, 32, 33}) {
        const std::int64_t first = most_tokens - tokens - tokens % 3 * (tokens < 32 ? 1 : 0);
        const std::vector<float> part = product(on_device, device_x, first, tokens);
        CHECK(same_bits(part.data(), y.data() + first * rows, part.size()));
      }
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(product_of, bq::all_formats);

TEST_CASE_TEMPLATE_DEFINE("so do those of tall matrices", F, tall_of) {
  if constexpr (!bq::activation_format<F>) {
    if (bq::cuda::device_count() == 0) return;
    CAPTURE(F::name);
    int multiprocessors = 0;
    REQUIRE(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, 0) == cudaSuccess);
    const std::int64_t rows = std::int64_t{12} * bq::cuda::tile_rows * multiprocessors + 1, tokens = 17;
    const weights w = make_weights<F>(rows, F::block_size, 7);
    bq::cuda::transfer mover;
    const bq::cuda::device_matrix on_device = mover.upload({F::id, rows, w.cols, w.blocks});
    const std::vector<float> x = make_activations(tokens, w.cols);
    const device::array device_x(x);
    const std::vector<float> y = product(on_device, device_x, 0, tokens);
    check_against_f64(w, x, y, 101);
    for (const std::int64_t some : {1, 8, 9, 16}) {
      const std::vector<float> part = product(on_device, device_x, 0, some);
      CHECK(same_bits(part.data(), y.data(), part.size()));
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(tall_of, bq::all_formats);

TEST_CASE("sums of more sections than shared memory holds at a time") {
  if (device::missing()) return;
  bq::cuda::transfer mover;
  const weights w = make_weights<bq::q4_0>(19, 40000, 3);
  const bq::cuda::device_matrix on_device = mover.upload({bq::type::q4_0, w.rows, w.cols, w.blocks});
  const std::vector<float> x = make_activations(most_tokens, w.cols);
  const device::array device_x(x);
  const std::vector<float> y = product(on_device, device_x, 0, most_tokens);
  check_against_f64(w, x, y);
  for (const std::int64_t tokens : {1, 9, 20}) {
    const std::vector<float> part = product(on_device, device_x, 5, tokens);
    CHECK(same_bits(part.data(), y.data() + 5 * w.rows, part.size()));
  }
}

TEST_CASE("activations in f16 and bf16 are those in f32") {
  if (device::missing()) return;
  bq::cuda::transfer mover;
  const weights w = make_weights<bq::q6_K>(64, 512, 5);
  const bq::cuda::device_matrix on_device = mover.upload({bq::type::q6_K, w.rows, w.cols, w.blocks});
  const std::int64_t tokens = 3;
  std::vector<float> wide;
  std::vector<std::uint16_t> half, brain;
  std::mt19937 random(9);
  for (std::int64_t i = 0; i < tokens * w.cols; ++i) {
    wide.push_back(static_cast<float>(static_cast<int>(random() % 255) - 127) / 64.0f);
    half.push_back(bq::f16_from_f32(wide.back()));
    brain.push_back(bq::bf16_from_f32(wide.back()));
  }
  const device::array x(wide);
  const auto expected = product(on_device, x, 0, tokens);
  const device::array<std::byte> memory(bq::cuda::activation_bytes(tokens, w.cols));
  const bq::cuda::activations ready{memory.get(), tokens, w.cols};
  const device::array<float> y(expected.size());
  const device::array<std::uint16_t> as_half(half), as_brain(brain);
  bq::cuda::prepare(as_half.get(), bq::cuda::element::f16, ready);
  bq::cuda::matmul(on_device, ready, y.get());
  CHECK(same_bits(y.read().data(), expected.data(), expected.size()));
  bq::cuda::prepare(as_brain.get(), bq::cuda::element::bf16, ready);
  bq::cuda::matmul(on_device, ready, y.get());
  CHECK(same_bits(y.read().data(), expected.data(), expected.size()));
}

TEST_CASE("a chain of kernels queued at once, or captured into a graph, equals one that waits after each") {
  if (device::missing()) return;
  bq::cuda::transfer mover;
  const std::int64_t size = 4096;
  const weights w = make_weights<bq::q4_K>(size, size, 11);
  const bq::cuda::device_matrix on_device = mover.upload({bq::type::q4_K, size, size, w.blocks});
  const device::array<float> norm_weight(std::vector<float>(size, 1.0f));
  for (const std::int64_t tokens : {1, 4, 5, 9, 16, 17}) {
    CAPTURE(tokens);
    const std::vector<float> start = make_activations(tokens, size);
    const auto count = static_cast<std::size_t>(tokens * size);
    const device::array<std::byte> memory(bq::cuda::activation_bytes(tokens, size));
    const bq::cuda::activations ready{memory.get(), tokens, size};
    const bq::cuda::activation_outputs prepared{.prepared = ready};
    const device::array<float> first(start), y(count), z(count), attended(count),
        turns(std::vector<float>(count, std::sqrt(0.5f)));
    constexpr std::int64_t rounds = 4, head_dim = 128, heads = size / head_dim, kv_heads = heads / 4, page = 16;
    const std::int64_t kv_size = kv_heads * head_dim, pages = rounds * tokens / page + 1;
    const device::array<std::byte> keys(bq::row_bytes(bq::type::q8_0, kv_size) * pages * page),
        values(bq::row_bytes(bq::type::f16, kv_size) * pages * page);
    const bq::cuda::paged_cache cache{bq::type::q8_0, bq::type::f16, keys.get(), values.get(),
                                      pages * page,   page,          kv_heads,   head_dim};
    std::vector<std::int64_t> slot_of(rounds * tokens);
    std::iota(slot_of.begin(), slot_of.end(), 0);
    std::vector<std::int32_t> page_of(pages), round_begins;
    std::iota(page_of.begin(), page_of.end(), 0);
    for (int i = 0; i < rounds; ++i) round_begins.push_back(static_cast<std::int32_t>(i * tokens));
    const device::array<std::int64_t> slots(slot_of);
    const device::array<std::int32_t> table(page_of), begins(round_begins),
        bounds(std::vector<std::int32_t>{0, static_cast<std::int32_t>(tokens)});
    bq::attention_options options;
    options.heads = heads, options.kv_heads = kv_heads, options.head_dim = head_dim, options.scale = 0.1f;
    bq::cuda::attention_batch batch{1, tokens, bounds.get(), begins.get(), table.get(), pages, tokens, rounds * tokens};
    const device::array<std::byte> scratch(bq::cuda::attention_scratch(batch, options));
    const bq::cuda::rope_table turned{bq::rope_pairing::halves, head_dim, turns.get(), turns.get()};
    cudaStream_t s = nullptr;
    REQUIRE(cudaStreamCreate(&s) == cudaSuccess);
    const auto chain = [&](bool wait) {
      const auto done = [&] {
        if (wait) REQUIRE(cudaStreamSynchronize(s) == cudaSuccess);
      };
      // What is read before it was written shows: nothing here is left from the run before.
      for (const auto* m : {&keys, &values}) REQUIRE(cudaMemsetAsync(m->get(), 0xff, m->size(), s) == cudaSuccess);
      for (int i = 0; i < rounds; ++i) {  // all outputs are soon activations, in the same memory
        bq::cuda::prepare(i == 0 ? first.get() : y.get(), bq::cuda::element::f32, ready, s), done();
        bq::cuda::matmul(on_device, ready, y.get(), s), done();
        bq::cuda::matmul(on_device, ready, z.get(), s), done();
        bq::cuda::apply_rope(y.get(), tokens, heads, head_dim, turned, 0, s), done();
        bq::cuda::apply_rope(z.get(), tokens, kv_heads, head_dim, turned, 0, s), done();
        bq::cuda::soft_cap(z.get(), tokens * size, 30.0f, s), done();  // f16 keeps it
        bq::cuda::append(cache, bq::cuda::element::f32, z.get(), z.get() + tokens * kv_size, slots.get() + i * tokens,
                         tokens, s);
        done();
        batch.positions = begins.get() + i;
        bq::cuda::attention(y.get(), cache, batch, attended.get(), scratch.get(), options, s), done();
        bq::cuda::gated(bq::activation::silu, attended.get(), z.get(), tokens, size, prepared, 0, s), done();
        bq::cuda::matmul(on_device, ready, y.get(), s), done();
        bq::cuda::rms_norm(y.get(), z.get(), norm_weight.get(), 1e-5f, tokens, size, prepared, s), done();
        bq::cuda::matmul(on_device, ready, y.get(), s), done();
      }
    };
    chain(true);
    const std::vector<float> expected = y.read();
    CHECK(std::all_of(expected.begin(), expected.end(), [](float v) { return std::isfinite(v); }));
    chain(false);
    CHECK(same_bits(y.read().data(), expected.data(), count));
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t ready_graph = nullptr;
    REQUIRE(cudaStreamBeginCapture(s, cudaStreamCaptureModeGlobal) == cudaSuccess);
    chain(false);
    REQUIRE(cudaStreamEndCapture(s, &graph) == cudaSuccess);
    REQUIRE(cudaGraphInstantiate(&ready_graph, graph, 0) == cudaSuccess);
    for (int i = 0; i < 3; ++i) REQUIRE(cudaGraphLaunch(ready_graph, s) == cudaSuccess);
    CHECK(same_bits(y.read().data(), expected.data(), count));
    cudaGraphExecDestroy(ready_graph);
    cudaGraphDestroy(graph);
    cudaStreamDestroy(s);
  }
}

TEST_CASE("the plan of a product of few tokens covers it, and fits; so do the runs of its warps") {
  using bq::cuda::matvec_plan, bq::cuda::matvec_shape;
  const bq::cuda::product_device devices[] = {
      {132, 227 << 10, true, true}, {170, 99 << 10, true, false}, {40, 64 << 10, false, false}};
  for (const auto& device : devices) {
    for (const int warp_bytes : {2300, 5120, 9728, 32768}) {  // the least and the most that formats take
      for (const int tokens : {1, 4, 5, 8, 9, 16}) {
        for (const int row_tiles : {1, 4, 64, 131, 133, 256, 527, 896, 1792, 8016}) {
          for (const int col_tiles : {1, 3, 4, 16, 32, 43, 56, 400}) {
            CAPTURE(warp_bytes);
            CAPTURE(tokens);
            CAPTURE(row_tiles);
            CAPTURE(col_tiles);
            const matvec_shape shape{warp_bytes, row_tiles, col_tiles, tokens};
            const matvec_plan plan = bq::cuda::plan_matvec(shape, device);
            CHECK(plan.shared_bytes <= device.shared_bytes);
            CHECK((plan.warps >= 1 && plan.warps <= bq::cuda::matvec_warps));
            CHECK((plan.blocks >= 1 && plan.blocks <= device.multiprocessors));

            const int longest = plan.least_tiles + (plan.longer_blocks > 0);
            CHECK(plan.blocks * plan.least_tiles + plan.longer_blocks == row_tiles);
            CHECK((plan.least_tiles >= 1 && plan.longer_blocks < plan.blocks));
            CHECK(longest == bq::cuda::ceil_div(row_tiles, device.multiprocessors));
            CHECK(plan.sections == bq::cuda::ceil_div(col_tiles, bq::cuda::section_tiles));
            CHECK((plan.batch_sections >= 1 && plan.batch_sections <= plan.sections));
            CHECK((plan.batch_tiles >= 1 && plan.batch_tiles <= longest));
            if (plan.share > 0) CHECK(plan.batch_sections == plan.sections);
            for (const int rows : {plan.batch_tiles, (longest - 1) % plan.batch_tiles + 1}) {
              for (int section = 0; section < plan.sections; section += plan.batch_sections) {
                check_runs(plan, col_tiles, rows, section, std::min(plan.batch_sections, plan.sections - section));
              }
            }
          }
        }
      }
    }
  }
  CHECK_THROWS_AS(bq::cuda::plan_matvec({65536, 1, 1, 1}, devices[2]), bq::error);
}

TEST_CASE("division by a fraction is exact") {
  for (int divisor = 1; divisor < 1 << 15; divisor = divisor < 300 ? divisor + 1 : divisor + divisor / 37) {
    const bq::cuda::fraction by(divisor);
    int wrong = 0;
    for (int i = 0; i < 1 << 15; ++i) wrong += by(i) != i / divisor;
    CAPTURE(divisor);
    CHECK(wrong == 0);
  }
}

TEST_CASE("what is wrong with a product is said before the device is asked") {
  const auto code = [](auto call) {
    try {
      call();
    } catch (const bq::error& e) {
      return e.code();
    }
    return bq::errc::io;
  };
  alignas(256) static std::byte memory[1];
  float y[1];
  const bq::cuda::device_matrix none;
  CHECK(code([] { bq::cuda::activation_bytes(-1, 32); }) == bq::errc::bad_shape);
  CHECK(code([] { bq::cuda::activation_bytes(1, 0); }) == bq::errc::bad_shape);
  CHECK(code([] { bq::cuda::activation_bytes(1, std::int64_t{1} << 40); }) == bq::errc::out_of_range);
  CHECK(code([&] { bq::cuda::matmul(none, {memory, 1, 32}, y); }) == bq::errc::bad_shape);
  CHECK(code([&] {
          bq::cuda::prepare(nullptr, bq::cuda::element::f32, {memory, 1, 32});
        }) == bq::errc::invalid_argument);
  CHECK(code([&] { bq::cuda::prepare(y, bq::cuda::element::f32, {nullptr, 1, 32}); }) == bq::errc::invalid_argument);
}
