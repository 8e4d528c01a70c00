// The entry point of products: checks, and the kernels of the weights' format.
#include <algorithm>
#include <array>
#include <string>
#include <tuple>

#include "blockquant/cuda.hpp"
#include "formats/registry.hpp"
#include "matvec.hpp"

namespace bq::cuda {

namespace {

struct product {
  type id;
  void (*few_tokens)(const device_matrix::contents& w, const prepared& x, float* y, stream s);
};

template <any_format F>
constexpr product product_of() {
  if constexpr (activation_format<F>) {
    return {F::id, nullptr};  // no matrix has it: transfer::upload
  } else {
    return {F::id, matvec_kernels<F>::launch};
  }
}

template <class List>
struct products;
template <any_format... F>
struct products<std::tuple<F...>> {
  static constexpr std::array<product, sizeof...(F)> rows{product_of<F>()...};
};

}  // namespace

void matmul(const device_matrix& w, const activations& x, float* y, stream s) {
  activation_bytes(x.tokens, x.cols);  // checks the shape
  if (x.cols != w.cols() || x.tokens > most_matvec_tokens) {
    throw error(
        {.code = errc::bad_shape,
         .message = "these activations cannot be multiplied with these weights",
         .expected = std::to_string(w.cols()) + " columns, at most " + std::to_string(most_matvec_tokens) + " tokens",
         .found = std::to_string(x.tokens) + " tokens of " + std::to_string(x.cols) + " columns"});
  }
  if (x.tokens == 0) return;
  if (!x.memory || !y) {
    throw error({.code = errc::invalid_argument,
                 .message = "activations and outputs must be device memory",
                 .expected = "neither null"});
  }
  const device_matrix::contents& c = w.view();
  const auto& table = products<all_formats>::rows;
  std::find_if(table.begin(), table.end(), [&](const product& p) {
    return p.id == c.id;
  })->few_tokens(c, view(x), y, s);
}

}  // namespace bq::cuda
