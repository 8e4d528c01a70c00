// The entry point of products: checks, and the kernels of the weights' format.
#include <algorithm>
#include <array>
#include <string>
#include <tuple>

#include "blockquant/cuda.hpp"
#include "fast.hpp"
#include "formats/registry.hpp"
#include "matvec.hpp"
#include "wide.hpp"

namespace bq::cuda {

namespace {

struct product {
  type id;
  using kernels = void (*)(const device_matrix::contents& w, const prepared& x, float* y, stream s);
  kernels few_tokens, many_tokens;
};

template <any_format F>
constexpr product product_of() {
  if constexpr (activation_format<F>) {
    return {F::id, nullptr, nullptr};  // no matrix has it: transfer::upload
  } else {
    return {F::id, matvec_kernels<F>::launch, wide_kernels<F>::launch};
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
  activation_bytes(x.tokens, x.cols, x.tier);  // checks both
  if (x.cols != w.cols()) {
    throw error({.code = errc::bad_shape,
                 .message = "these activations cannot be multiplied with these weights",
                 .expected = std::to_string(w.cols()) + " columns",
                 .found = std::to_string(x.cols)});
  }
  if (x.tier != w.tier()) {
    throw error(
        {.code = errc::invalid_argument, .message = "weights and activations of different tiers cannot be multiplied"});
  }
  if (x.tokens == 0) return;
  if (!x.memory || !y) {
    throw error({.code = errc::invalid_argument,
                 .message = "activations and outputs must be device memory",
                 .expected = "neither null"});
  }
  const device_matrix::contents& c = w.view();
  if (c.tier == tier::fast) return fast_product(c, view_bytes(x), y, s);
  const auto& table = products<all_formats>::rows;
  const product& p = *std::find_if(table.begin(), table.end(), [&](const product& row) { return row.id == c.id; });
  const prepared all = view(x);
  if (all.in == prepared::order::atoms) return p.many_tokens(c, all, y, s);
  for (int first = 0; first < all.tokens; first += most_matvec_tokens) {
    const prepared part{all.values + all.position(first, 0), all.factors + first,
                        std::min(most_matvec_tokens, all.tokens - first), all.cols, all.in};
    p.few_tokens(c, part, y + first * c.rows, s);
  }
}

}  // namespace bq::cuda
