// How a program that runs models computes, and the options that say so: -t, --tier, --cache-type-k, --cache-type-v.
#pragma once
#include <blockquant/tier.hpp>
#include <blockquant/types.hpp>
#include <string_view>

namespace CLI {
class App;
}

namespace bq_program {

struct compute_options {
  int threads = 0;  // 0: all cores
  bq::tier tier = bq::tier::exact;
  bq::type keys = bq::type::f16, values = bq::type::f16;  // as cached
};

// `options` must outlive the parsing.
void add_compute_options(CLI::App& app, compute_options& options);

std::string_view name(bq::tier tier) noexcept;

}  // namespace bq_program
