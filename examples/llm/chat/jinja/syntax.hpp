// A parsed template. One node type for all expressions and one for all statements: what the parts mean is said by the
// kind.
#pragma once
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "chat/jinja/value.hpp"

namespace bq_llm::jinja {

enum class expression_kind {
  constant,      // constant
  name,          // text
  list_literal,  // parts
  dict_literal,  // parts: key, value, key, value ...
  attribute,     // parts[0].text
  subscript,     // parts[0][parts[1]]
  slice,         // parts[0][parts[1]:parts[2]:parts[3]], null where left out
  call,          // parts[0](parts[1..], named)
  filter,        // parts[0] | text(parts[1..], named)
  test,          // parts[0] is text(parts[1..])
  negate,        // -parts[0]
  plus,          // +parts[0]
  logical_not,   // not parts[0]
  logical_and,   // of parts[0] and parts[1]
  logical_or,
  arithmetic,  // parts[0] text parts[1]; text: + - * / // % ** ~
  comparison,  // parts[0] text parts[1]; text: == != < <= > >= in
  condition,   // parts[0] if parts[1] else parts[2], which may be null
};

struct expression;
using expression_ptr = std::unique_ptr<expression>;

struct expression {
  expression_kind kind;
  std::size_t line;
  std::string text;
  value constant;
  std::vector<expression_ptr> parts;
  std::vector<std::pair<std::string, expression_ptr>> named;
  std::size_t depth;  // of the tree below, itself included
};

enum class statement_kind {
  text,        // text
  print,       // value
  branches,    // value: the condition, body; then others in `otherwise`
  loop,        // for names in value if filter: body, else otherwise
  set,         // names = value
  set_member,  // names[0].names[1] = value
  set_block,   // names[0] = the output of body, filtered by value (whose innermost part is null)
  macro,       // text(names, defaults): body
  block,       // body, its output filtered by value as in set_block
  break_loop,
  continue_loop,
};

struct statement;
using statements = std::vector<statement>;

struct statement {
  statement_kind kind;
  std::size_t line;
  std::string text;
  expression_ptr value, filter;
  std::vector<std::string> names;
  std::vector<expression_ptr> defaults;  // of the last parameters of a macro
  statements body, otherwise;
};

}  // namespace bq_llm::jinja
