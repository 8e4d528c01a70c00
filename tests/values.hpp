// Inputs and outputs of numeric tests.
#pragma once
#include <cstring>
#include <random>
#include <vector>

namespace test {

inline std::vector<float> normal(std::size_t n, unsigned seed, float sigma = 1.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> distribution(0.0f, sigma);
  std::vector<float> x(n);
  for (float& v : x) v = distribution(random);
  return x;
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

}  // namespace test
