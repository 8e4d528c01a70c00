// What an importance matrix says about each weight. With a the mean squared activations of a weight's columns:
//
//   active    share of columns with a > 1e-5
//   entropy   of a / sum a, in bits; also as a share of log2(columns): 1 when all columns matter the same
//   zd        share of columns more than a standard deviation above the mean
//   cosine    similarity with the same weight of the layer before; 0 where there is none
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "imatrix/measured.hpp"

namespace bq_imatrix {

struct weight_statistics {
  std::string weight = {};
  std::size_t columns = 0;  // of all experts that were reached
  double sum = 0, least = 0, most = 0, mean = 0, deviation = 0;
  double active = 0, entropy = 0, entropy_share = 0, zd = 0, cosine = 0;
};

// In the order of names. Weights of which nothing was seen are left out.
std::vector<weight_statistics> statistics(const bq_llm::measured_imatrix& m);

std::string to_table(const std::vector<weight_statistics>& all);
nlohmann::ordered_json to_json(const std::vector<weight_statistics>& all);

}  // namespace bq_imatrix
