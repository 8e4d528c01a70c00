// matmul: y[tokens, rows] = x[tokens, cols] * w[rows, cols]^T. Operations: 2 * tokens * rows * cols. Bytes: what must
// be read and written at least once: blocks, x and y.
#include <fmt/format.h>

#include <algorithm>
#include <blockquant/interleave.hpp>
#include <blockquant/matmul.hpp>
#include <blockquant/quantize.hpp>
#include <limits>
#include <optional>

#include "operations.hpp"
#include "peer/peer.hpp"
#include "verify.hpp"
#include "weights.hpp"

namespace bq_bench {
namespace {

// matmul.hpp: activations become multiples of their largest in a run over 127 or 127 * 256, of twice that where scales
// are powers of two; in the fast tier in 256 columns over 127, and so do weights.
activation_rounding rounding_of(const bq::type_info& format, bq::tier tier) {
  if (!format.quantized) return {};
  if (tier == bq::tier::fast) return {.run = 256, .levels = 127, .weight_levels = 127};
  const int run = format.scaling == bq::activation_scaling::shared ? 256 : 32;
  if (tier == bq::tier::precise) return {.run = run, .levels = 127.0 * 256.0};
  // Of runs that are far below the largest of their panel, the step is 2^-15 of that, and sums that meet minimums are
  // rounded to 1/8 of a step: nothing, for what bench multiplies.
  return {.run = run, .levels = format.scaling == bq::activation_scaling::powers ? 127.0 / 2 : 127.0};
}

std::vector<std::byte> random_blocks(const bq::type_info& format, std::int64_t rows, std::int64_t cols) {
  const auto weights = random_values(rows * cols, 0.05f, 1);
  std::vector<std::byte> out(static_cast<std::size_t>(rows) * bq::row_bytes(format.id, cols));
  bq::quantize(format.id, weights, rows, cols, out);
  return out;
}

class matmul_subject final : public subject {
 public:
  matmul_subject(const bq::type_info& format, std::int64_t rows, std::int64_t cols, bool cached, bool interleaved)
      : blocks_(random_blocks(format, std::min(rows, distinct_rows), cols), rows, bq::row_bytes(format.id, cols),
                cached),
        cached_(cached),
        interleaved_(interleaved) {}

  contest prepare(const configuration& c, bq::executor& threads) override {
    setup_ = c;
    x_ = random_values(c.tokens * c.cols, 1.0f, 2);
    y_.assign(static_cast<std::size_t>(c.tokens * c.rows), 0.0f);
    const bq::matmul_options options{.tier = c.tier, .threads = &threads, .isa = c.isa, .memory = &memory_};
    if (interleaved_) interleave(options);

    contestant ours;
    ours.call = [this, options](std::size_t turn) { bq::matmul(view(turn), x_, setup_.tokens, y_, options); };
    ours.check = [this, call = ours.call] {
      std::fill(y_.begin(), y_.end(), std::numeric_limits<float>::quiet_NaN());
      call(0);
      return check_product(matrix(0), x_, setup_.tokens, y_, rounding_of(*setup_.format, setup_.tier));
    };

    contest out;
    out.operations = 2.0 * static_cast<double>(c.tokens) * static_cast<double>(c.rows) * static_cast<double>(c.cols);
    out.bytes = static_cast<double>(blocks_[0].size() + (x_.size() + y_.size()) * sizeof(float));
    out.contestants.push_back(std::move(ours));
    for (auto& peer : product_peers(c, blocks_, x_)) out.contestants.push_back(std::move(peer));
    return out;
  }

 private:
  bq::matrix matrix(std::size_t turn) const { return {setup_.format->id, setup_.rows, setup_.cols, blocks_[turn]}; }
  bq::matrix view(std::size_t turn) const {
    bq::matrix w = matrix(turn);
    if (copies_) w.blocks = (*copies_)[turn];
    w.interleaved = lanes_;
    return w;
  }
  void interleave(const bq::matmul_options& options) {
    std::vector<std::byte> out(bq::interleaved_bytes(matrix(0), options));
    lanes_ = bq::interleave(matrix(0), out, options).interleaved;
    copies_.reset();
    if (lanes_ != 0) copies_.emplace(out, 1, out.size(), cached_);
  }

  rotation blocks_;
  bool cached_, interleaved_;
  std::optional<rotation> copies_;  // interleaved
  int lanes_ = 0;
  configuration setup_;
  std::vector<float> x_, y_;
  bq::workspace memory_;  // as callers of many products have it
};

}  // namespace

std::unique_ptr<subject> make_matmul(const bq::type_info& format, std::int64_t rows, std::int64_t cols, bool cached) {
  return std::make_unique<matmul_subject>(format, rows, cols, cached, false);
}
std::unique_ptr<subject> make_interleaved_matmul(const bq::type_info& format, std::int64_t rows, std::int64_t cols,
                                                 bool cached) {
  return std::make_unique<matmul_subject>(format, rows, cols, cached, true);
}

}  // namespace bq_bench
