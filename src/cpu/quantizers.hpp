// The quantisers of one instruction set, folded over a list of formats for a lane list (formats/lanes.hpp). Included by
// each src/cpu/<isa>/quantizers.cpp, which is built with that set's flags: all that is instantiated here is named after
// its lanes.
#pragma once
#include <array>
#include <tuple>

#include "formats/registry.hpp"
#include "kernels.hpp"

namespace bq::cpu {

template <class L, any_format F>
void quantize(const float* x, std::int64_t rows, std::int64_t cols, const float* importance, void* blocks) noexcept {
  quantize_blocks<L, F>(x, rows, cols, importance, static_cast<typename F::block*>(blocks));
}

template <class L, class List>
struct quantizer_table;

template <class L, class... F>
struct quantizer_table<L, std::tuple<F...>> {
  static constexpr std::array<quantizer, sizeof...(F)> rows{quantizer{F::id, quantize<L, F>}...};
};

}  // namespace bq::cpu
