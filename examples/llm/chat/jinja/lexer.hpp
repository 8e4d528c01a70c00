// A template's text in tokens. Chat templates are written for trim_blocks and lstrip_blocks: the newline after {% %}
// and
// {# #} goes, and so do the blanks before them on their line; {%- and -%} take away all blanks beside them.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace bq_llm::jinja {

enum class token_kind {
  text,         // between the tags
  print_begin,  // {{
  print_end,    // }}
  block_begin,  // {%
  block_end,    // %}
  name,         // words, keywords among them
  string,       // without quotes, escapes resolved
  integer,
  floating,
  symbol,  // an operator or bracket
  end,
};

struct token {
  token_kind kind;
  std::string text;
  std::size_t line;  // from 1
};

// Throws bq::error (errc::bad_recipe) with the line.
std::vector<token> tokenized(std::string_view source);

[[noreturn]] void throw_at(std::size_t line, const std::string& message, std::string_view found = {});

}  // namespace bq_llm::jinja
