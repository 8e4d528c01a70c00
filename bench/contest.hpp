// The vocabulary of a measurement: what is measured (configuration), by whom (contestant), what it costs at least, and
// what came out (result).
#pragma once
#include <blockquant/matmul.hpp>
#include <blockquant/types.hpp>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bq_bench {

struct configuration {
  std::string_view op;
  const bq::type_info* format = nullptr;
  std::string_view isa = {};  // empty where only one is built
  bq::tier tier = bq::tier::exact;
  std::int64_t rows = 0, cols = 0;  // of the weights
  std::int64_t tokens = 0;          // 0 where there are no activations
  int threads = 1;
  bool cached = false;  // one copy of the weights, which may stay in the cache
};

struct contestant {
  std::string peer = {};                       // "ggml 0.25.3"; empty for this library
  std::function<void(std::size_t turn)> call;  // the work; `turn` chooses the copy of the input
  std::function<double()> check;               // does it once; its largest error, or throws wrong_result
  std::function<void()> rest = [] {};          // called when another contestant's turn comes
};

struct contest {
  double operations = 0;                // of one call, a multiply-add counts as two; 0 where they are not counted
  double bytes = 0;                     // of one call, as README.md says for each operation
  std::vector<contestant> contestants;  // this library first
};

struct result {
  configuration setup;
  std::string peer;
  double seconds = 0;  // median of the repetitions
  double best = 0;     // seconds
  double spread = 0;   // distance of the quartiles over the median
  std::size_t repetitions = 0;
  double gops = 0, gbps = 0;  // 1e9 operations, 1e9 bytes per second; 0 operations where they are not counted
  double max_error = 0;
  std::optional<double> ratio;  // of a peer: its time over this library's
  std::optional<double> busy;   // the time with a busy neighbour over the quiet one
};

}  // namespace bq_bench
