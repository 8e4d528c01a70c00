// The operations that can be measured: the list from which options, help and runs are made.
#pragma once
#include <blockquant/parallel.hpp>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "contest.hpp"

namespace bq_bench {

// An operation on one type and shape, with its data.
class subject {
 public:
  virtual ~subject() = default;
  // Contestants refer to this object and to `threads`.
  virtual contest prepare(const configuration& c, bq::executor& threads) = 0;
};

struct operation {
  std::string_view name, what;
  bool is_product;  // has activations, and options for instruction set and tier
  bool has_isas;    // is built for each instruction set
  std::unique_ptr<subject> (*make)(const bq::type_info& format, std::int64_t rows, std::int64_t cols, bool cached);
};

std::span<const operation> operations() noexcept;

std::unique_ptr<subject> make_matmul(const bq::type_info& format, std::int64_t rows, std::int64_t cols, bool cached);
std::unique_ptr<subject> make_interleaved_matmul(const bq::type_info& format, std::int64_t rows, std::int64_t cols,
                                                 bool cached);
std::unique_ptr<subject> make_quantize(const bq::type_info& format, std::int64_t rows, std::int64_t cols, bool cached);
std::unique_ptr<subject> make_dequantize(const bq::type_info& format, std::int64_t rows, std::int64_t cols,
                                         bool cached);

}  // namespace bq_bench
