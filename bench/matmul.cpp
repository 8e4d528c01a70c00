// matmul: y[tokens, rows] = x[tokens, cols] * w[rows, cols]^T. Operations: 2 * tokens * rows * cols. Bytes: what must
// be read and written at least once: blocks, x and y.
#include <fmt/format.h>

#include <algorithm>
#include <blockquant/matmul.hpp>
#include <blockquant/quantize.hpp>
#include <limits>

#include "operations.hpp"
#include "peer/peer.hpp"
#include "verify.hpp"
#include "weights.hpp"

namespace bq_bench {
namespace {

// matmul.hpp: activations become multiples of their largest in 32 columns over 127 or 127 * 256, in the fast tier in
// 256 columns over 127, and so do weights.
activation_rounding rounding_of(const bq::type_info& format, bq::tier tier) {
  if (!format.quantized) return {};
  if (tier == bq::tier::fast) return {.run = 256, .levels = 127, .weight_levels = 127};
  return {.run = 32, .levels = tier == bq::tier::precise ? 127.0 * 256.0 : 127.0};
}

std::vector<std::byte> random_blocks(const bq::type_info& format, std::int64_t rows, std::int64_t cols) {
  const auto weights = random_values(rows * cols, 0.05f, 1);
  std::vector<std::byte> out(static_cast<std::size_t>(rows) * bq::row_bytes(format.id, cols));
  bq::quantize(format.id, weights, rows, cols, out);
  return out;
}

class matmul_subject final : public subject {
 public:
  matmul_subject(const bq::type_info& format, std::int64_t rows, std::int64_t cols, bool cached)
      : blocks_(random_blocks(format, std::min(rows, distinct_rows), cols), rows, bq::row_bytes(format.id, cols),
                cached) {}

  contest prepare(const configuration& c, bq::executor& threads) override {
    setup_ = c;
    x_ = random_values(c.tokens * c.cols, 1.0f, 2);
    y_.assign(static_cast<std::size_t>(c.tokens * c.rows), 0.0f);
    const bq::matmul_options options{.tier = c.tier, .threads = &threads, .isa = c.isa};

    contestant ours;
    ours.call = [this, options](std::size_t turn) { bq::matmul(matrix(turn), x_, setup_.tokens, y_, options); };
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

  rotation blocks_;
  configuration setup_;
  std::vector<float> x_, y_;
};

}  // namespace

std::unique_ptr<subject> make_matmul(const bq::type_info& format, std::int64_t rows, std::int64_t cols, bool cached) {
  return std::make_unique<matmul_subject>(format, rows, cols, cached);
}

}  // namespace bq_bench
