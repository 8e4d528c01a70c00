// Pre-tokenisers: how text falls into words before BPE merges inside each. A file names one (tokenizer.ggml.pre); what
// it means is a sequence of regular expressions, each of which splits the pieces of the one before into its matches and
// what lies between them.
//
// The expressions are those of llama.cpp, whose classes differ from the original tokenisers' in places (case is ignored
// in some), and whose ids are what counts here. Unicode's categories are PCRE2's, so a character that is newer than the
// installed PCRE2 is no letter yet.
#pragma once
#include <memory>
#include <string_view>
#include <vector>

namespace bq_llm {

// Thread safe.
class pre_tokenizer {
 public:
  // Throws errc::unsupported_type for a name that is not in the table.
  explicit pre_tokenizer(std::string_view name);

  // The words of `text`, in order and without gaps; they point into it. `text` must be repaired_utf8. Throws
  // errc::out_of_range when the text needs more memory to match than PCRE2's limits allow.
  std::vector<std::string_view> split(std::string_view text) const;

  // What else goes with the name.
  bool whole_words() const noexcept { return whole_words_; }  // a word that is a token is not built from merges
  bool adds_bos() const noexcept { return adds_bos_; }        // unless the file says otherwise

 private:
  std::vector<std::shared_ptr<const void>> expressions_;  // compiled
  bool whole_words_ = false, adds_bos_ = false;
};

}  // namespace bq_llm
