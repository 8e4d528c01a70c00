#include "tokenizer/pre_tokenizer.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <blockquant/error.hpp>
#include <cstdint>
#include <string>

#include "tokenizer/pre_tokenizer_table.hpp"

namespace bq_llm {
namespace {

std::string pcre2_message(int code) {
  PCRE2_UCHAR buffer[256];
  pcre2_get_error_message(code, buffer, sizeof buffer);
  return reinterpret_cast<const char*>(buffer);
}

// \s becomes what White_Space is, for use inside a class.
std::string with_white_space(std::string_view expression) {
  std::string out;
  for (std::size_t at; (at = expression.find("\\s")) != std::string_view::npos; expression.remove_prefix(at + 2)) {
    out.append(expression.substr(0, at)) += "\\t-\\r\\x{85}\\p{Z}";
  }
  return out.append(expression);
}

std::shared_ptr<const void> compiled(std::string_view expression) {
  const std::string pattern = with_white_space(expression);
  int code = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* regex = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), PCRE2_UTF | PCRE2_UCP,
                                    &code, &offset, nullptr);
  if (!regex) {
    throw bq::error({.code = bq::errc::bad_recipe,
                     .message = "a pre-tokeniser's expression that PCRE2 does not compile",
                     .subject = pattern,
                     .offset = offset,
                     .found = pcre2_message(code)});
  }
  // Only speed depends on it: where there is no compiler for the machine, PCRE2 interprets.
  pcre2_jit_compile(regex, PCRE2_JIT_COMPLETE);
  return {regex, [](pcre2_code* old) { pcre2_code_free(old); }};
}

// PCRE2 refuses surrogates, which repaired_utf8 lets pass. They become U+E000, which no expression tells from them and
// which has as many bytes.
std::string without_surrogates(std::string_view text) {
  std::string out(text);
  for (std::size_t i = 0; i + 2 < out.size(); ++i) {
    if (out[i] == '\xED' && static_cast<unsigned char>(out[i + 1]) >= 0xA0) out.replace(i, 3, "\xEE\x80\x80");
  }
  return out;
}

// Ends of the matches of `expression` in text[begin, end), and of the gaps between them.
void split_piece(const pcre2_code* expression, pcre2_match_data* match, std::string_view text, std::size_t begin,
                 std::size_t end, std::vector<std::size_t>& ends) {
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data() + begin);
  const std::size_t bytes = end - begin;
  std::size_t done = 0;
  while (done < bytes) {
    const int found =
        pcre2_match(expression, subject, bytes, done, PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY, match, nullptr);
    if (found == PCRE2_ERROR_NOMATCH) break;
    if (found < 0) {
      throw bq::error({.code = bq::errc::out_of_range,
                       .message = "text that cannot be split into words",
                       .offset = begin + done,
                       .found = pcre2_message(found)});
    }
    const PCRE2_SIZE* range = pcre2_get_ovector_pointer(match);
    if (range[0] > done) ends.push_back(begin + range[0]);
    ends.push_back(begin + range[1]);
    done = range[1];
  }
  if (done < bytes) ends.push_back(end);
}

}  // namespace

pre_tokenizer::pre_tokenizer(std::string_view name) {
  const pre_tokenizer_rule* rule = find_pre_tokenizer(name);
  if (!rule) {
    throw bq::error({.code = bq::errc::unsupported_type,
                     .message = "an unknown pre-tokeniser",
                     .subject = "tokenizer.ggml.pre",
                     .found = bq::printable(name)});
  }
  whole_words_ = rule->whole_words;
  adds_bos_ = rule->adds_bos;
  for (const std::string_view expression : rule->expressions) {
    if (!expression.empty()) expressions_.push_back(compiled(expression));
  }
}

std::vector<std::string_view> pre_tokenizer::split(std::string_view text) const {
  const std::string subject = without_surrogates(text);
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> match(pcre2_match_data_create(1, nullptr),
                                                                                  pcre2_match_data_free);
  if (!match) throw std::bad_alloc();
  std::vector<std::size_t> ends;
  if (!subject.empty()) ends.push_back(subject.size());
  for (const auto& expression : expressions_) {
    std::vector<std::size_t> finer;
    std::size_t begin = 0;
    for (const std::size_t end : ends) {
      split_piece(static_cast<const pcre2_code*>(expression.get()), match.get(), subject, begin, end, finer);
      begin = end;
    }
    ends = std::move(finer);
  }
  std::vector<std::string_view> words;
  std::size_t begin = 0;
  for (const std::size_t end : ends) {
    words.push_back(text.substr(begin, end - begin));
    begin = end;
  }
  return words;
}

}  // namespace bq_llm
