// Models described in text (models/*.txt): hyper-parameters and tensor shapes, without weights. See make_expected.py,
// which asks llama-quantize about the same files.
#pragma once
#include <blockquant/gguf.hpp>
#include <map>
#include <string>
#include <vector>

namespace bq_quantize_test {

struct described_model {
  bq::gguf::metadata metadata;
  std::vector<bq::gguf::tensor> tensors;  // in file order, with the offsets they would have
};

described_model read_model(const std::string& path);
described_model parse_model(const std::string& text);

// Type names by tensor name, for every run that shares this answer; empty types and `refused` where llama-quantize
// failed.
struct answer {
  std::vector<std::string> runs;  // "Q4_K_M --pure"
  bool refused = false;
  std::map<std::string, std::string> types;  // tensors that are not named keep their type
};
std::vector<answer> read_answers(const std::string& path);

// An importance matrix file in the legacy form, deleted at the end.
class imatrix_file {
 public:
  explicit imatrix_file(const std::map<std::string, std::vector<float>>& entries, int calls = 1);
  explicit imatrix_file(const std::string& bytes);
  ~imatrix_file();
  imatrix_file(const imatrix_file&) = delete;
  imatrix_file& operator=(const imatrix_file&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace bq_quantize_test
