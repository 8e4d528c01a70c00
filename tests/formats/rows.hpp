// Rows of weights for the format tests: the golden ones and generated ones. `blocks_of` and `decoded` quantise and
// decode one row with a format's own functions.
#pragma once
#include <doctest/doctest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "formats/registry.hpp"
#include "tests/values.hpp"

namespace rows {

// The golden file `name` as T; empty when there is none.
template <class T>
std::vector<T> golden(const std::string& name) {
  const std::filesystem::path path = std::filesystem::path(BLOCKQUANT_GOLDEN) / name;
  if (!std::filesystem::exists(path)) return {};
  std::vector<T> out(std::filesystem::file_size(path) / sizeof(T));
  std::ifstream(path, std::ios::binary)
      .read(reinterpret_cast<char*>(out.data()), static_cast<std::streamsize>(out.size() * sizeof(T)));
  return out;
}

using test::normal;

template <bq::any_format F>
std::vector<typename F::block> blocks_of(const std::vector<float>& x, const float* importance = nullptr) {
  std::vector<typename F::block> out(x.size() / F::block_size);
  std::memset(static_cast<void*>(out.data()), 0xa5,
              out.size() * sizeof(out[0]));  // the quantiser has to write every byte
  bq::quantize_blocks<bq::one_lane, F>(x.data(), 1, static_cast<std::int64_t>(x.size()), importance, out.data());
  return out;
}

template <bq::any_format F>
std::vector<float> decoded(const std::vector<typename F::block>& blocks) {
  std::vector<float> out(blocks.size() * F::block_size);
  for (std::size_t i = 0; i < blocks.size(); ++i) bq::decode_block<F>(blocks[i], out.data() + i * F::block_size);
  return out;
}

template <bq::any_format F>
std::vector<typename F::block> random_blocks(std::size_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<typename F::block> out(n);
  auto* bytes = reinterpret_cast<unsigned char*>(out.data());
  for (std::size_t i = 0; i < n * sizeof(out[0]); ++i) bytes[i] = static_cast<unsigned char>(random());
  return out;
}

template <class T>
bool same_bytes(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

}  // namespace rows
