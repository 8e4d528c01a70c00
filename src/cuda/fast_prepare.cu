// Activations to the bytes of the fast tier (byte_matrix.hpp), and where they lie in the caller's memory: scales after
// atoms.
#include "byte_encode.cuh"
#include "element.cuh"
#include "fast.hpp"

namespace bq::cuda {

namespace {

template <class T>
struct token_rows {
  const T* x;
  std::int64_t cols;

  __device__ void load(int token, int col, int, float (&v)[lane_cols]) const { load_columns(x, cols, token, col, v); }
};

std::int64_t atom_bytes(std::int64_t tokens, std::int64_t cols) {
  return byte_matrix::atom_count(tokens, cols) * byte_matrix::atom_bytes;
}

}  // namespace

std::int64_t fast_activation_bytes(std::int64_t tokens, std::int64_t cols) {
  return atom_bytes(tokens, cols) + byte_matrix::scale_count(tokens, cols) * static_cast<std::int64_t>(sizeof(float));
}

byte_matrix view_bytes(const activations& x) {
  auto* bytes = static_cast<unsigned char*>(x.memory);
  return {bytes, reinterpret_cast<float*>(bytes + atom_bytes(x.tokens, x.cols)), static_cast<int>(x.tokens),
          static_cast<int>(ceil_div(x.cols, byte_matrix::slice_cols))};
}

void prepare_fast(const void* x, element e, const activations& out, stream s) {
  with_elements(x, e, [&]<class T>(const T* typed) {
    launch_encode_bytes(launches_early(), token_rows<T>{typed, out.cols}, 0, out.tokens, out.cols, view_bytes(out),
                        "prepare", s);
  });
}

}  // namespace bq::cuda
