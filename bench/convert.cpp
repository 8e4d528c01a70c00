// quantize and dequantize: f32 weights [rows, cols] to blocks and back. Bytes: those of the f32 side. The input
// rotates, the output is one buffer.
#include <algorithm>
#include <blockquant/quantize.hpp>
#include <limits>

#include "operations.hpp"
#include "peer/peer.hpp"
#include "verify.hpp"
#include "weights.hpp"

namespace bq_bench {
namespace {

std::vector<float> distinct_weights(std::int64_t rows, std::int64_t cols) {
  return random_values(std::min(rows, distinct_rows) * cols, 0.05f, 1);
}

rotation rotating(const std::vector<float>& distinct, std::int64_t rows, std::int64_t cols, bool cached) {
  return {std::as_bytes(std::span(distinct)), rows, static_cast<std::size_t>(cols) * sizeof(float), cached};
}

std::span<const float> as_floats(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const float*>(bytes.data()), bytes.size() / sizeof(float)};
}

class quantize_subject final : public subject {
 public:
  quantize_subject(const bq::type_info& format, std::int64_t rows, std::int64_t cols, bool cached)
      : weights_(rotating(distinct_weights(rows, cols), rows, cols, cached)),
        blocks_(static_cast<std::size_t>(rows) * bq::row_bytes(format.id, cols)) {}

  contest prepare(const configuration& c, bq::executor& threads) override {
    contest out;
    out.bytes = static_cast<double>(weights_[0].size());
    out.contestants.push_back(contestant_of({}, c, [this, c, &threads](std::size_t turn) {
      bq::quantize(c.format->id, as_floats(weights_[turn]), c.rows, c.cols, blocks_, {.threads = &threads});
    }));
    for (auto& [name, quantize] : quantize_peers(c, threads)) {
      out.contestants.push_back(contestant_of(
          name, c, [this, quantize = quantize](std::size_t turn) { quantize(as_floats(weights_[turn]), blocks_); }));
    }
    return out;
  }

 private:
  contestant contestant_of(std::string peer, const configuration& c, std::function<void(std::size_t)> call) {
    contestant out;
    out.peer = std::move(peer);
    out.check = [this, c, call] {
      std::fill(blocks_.begin(), blocks_.end(), std::byte{0xff});
      call(0);
      std::vector<float> decoded(static_cast<std::size_t>(c.rows * c.cols));
      bq::dequantize(c.format->id, blocks_, c.rows, c.cols, decoded);
      return check_decoded(as_floats(weights_[0]), decoded, c.format->block_size);
    };
    out.call = std::move(call);
    return out;
  }

  rotation weights_;
  std::vector<std::byte> blocks_;
};

class dequantize_subject final : public subject {
 public:
  dequantize_subject(const bq::type_info& format, std::int64_t rows, std::int64_t cols, bool cached)
      : distinct_(distinct_weights(rows, cols)),
        blocks_(quantized(format, distinct_, cols), rows, bq::row_bytes(format.id, cols), cached),
        decoded_(static_cast<std::size_t>(rows * cols)) {}

  contest prepare(const configuration& c, bq::executor& threads) override {
    contestant ours;
    ours.call = [this, c, &threads](std::size_t turn) {
      bq::dequantize(c.format->id, blocks_[turn], c.rows, c.cols, decoded_, &threads);
    };
    ours.check = [this, c, call = ours.call] {
      std::fill(decoded_.begin(), decoded_.end(), std::numeric_limits<float>::quiet_NaN());
      call(0);
      double largest = 0;
      for (std::size_t first = 0; first < decoded_.size(); first += distinct_.size()) {
        const std::size_t count = std::min(distinct_.size(), decoded_.size() - first);
        largest = std::max(largest, check_decoded(std::span(distinct_).first(count),
                                                  std::span(decoded_).subspan(first, count), c.format->block_size));
      }
      return largest;
    };
    contest out;
    out.bytes = static_cast<double>(decoded_.size() * sizeof(float));
    out.contestants.push_back(std::move(ours));
    return out;
  }

 private:
  static std::vector<std::byte> quantized(const bq::type_info& format, std::span<const float> weights,
                                          std::int64_t cols) {
    const auto rows = static_cast<std::int64_t>(weights.size()) / cols;
    std::vector<std::byte> out(static_cast<std::size_t>(rows) * bq::row_bytes(format.id, cols));
    bq::quantize(format.id, weights, rows, cols, out);
    return out;
  }

  std::vector<float> distinct_;
  rotation blocks_;
  std::vector<float> decoded_;
};

}  // namespace

std::unique_ptr<subject> make_quantize(const bq::type_info& format, std::int64_t rows, std::int64_t cols, bool cached) {
  return std::make_unique<quantize_subject>(format, rows, cols, cached);
}

std::unique_ptr<subject> make_dequantize(const bq::type_info& format, std::int64_t rows, std::int64_t cols,
                                         bool cached) {
  return std::make_unique<dequantize_subject>(format, rows, cols, cached);
}

}  // namespace bq_bench
