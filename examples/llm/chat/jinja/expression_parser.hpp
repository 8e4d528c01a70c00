// Expressions of templates, with Jinja's precedence, from weak to strong: a if b else c; or; and; not; comparisons and
// in;
// + -; ~; * / // %; **; unary - +; then .name [..] (..) | filter and is test.
//
// Parsing and later evaluation recurse, so nesting and the depth of trees are bounded.
#pragma once
#include <string_view>
#include <vector>

#include "chat/jinja/lexer.hpp"
#include "chat/jinja/syntax.hpp"

namespace bq_llm::jinja {

class token_cursor {
 public:
  explicit token_cursor(std::vector<token> tokens) : tokens_(std::move(tokens)) {}

  const token& peek() const { return tokens_[at_]; }
  const token& take() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  bool is(token_kind kind) const { return peek().kind == kind; }
  bool is_symbol(std::string_view symbol) const { return is(token_kind::symbol) && peek().text == symbol; }
  bool is_word(std::string_view word) const { return is(token_kind::name) && peek().text == word; }
  bool next_is_word(std::string_view word) const;  // after the current one
  bool take_symbol(std::string_view symbol);       // false when another token comes
  bool take_word(std::string_view word);
  void expect(token_kind kind, std::string_view name);
  void expect_symbol(std::string_view symbol);
  std::string expect_name();

 private:
  std::vector<token> tokens_;
  std::size_t at_ = 0;
};

class expression_parser {
 public:
  explicit expression_parser(token_cursor& tokens) : tokens_(tokens) {}

  // With commas on the outside a tuple, which is a list here.
  expression_ptr tuple();
  expression_ptr single();
  // Without "if": the iterable of a loop, whose filter begins so.
  expression_ptr without_condition();
  // "| name(..) | ..." applied to nothing yet: the innermost part is null. Null when no filter comes.
  expression_ptr filters();
  expression_ptr first_filter();  // "name(..) | name ...": the same without the first bar

 private:
  expression_ptr binary(int level);
  expression_ptr logical_not();
  expression_ptr comparison();
  expression_ptr power();
  expression_ptr unary(bool with_filters);
  expression_ptr primary();
  expression_ptr list_of(std::string_view end);
  expression_ptr dict();
  expression_ptr postfix(expression_ptr value);
  expression_ptr filters_and_tests(expression_ptr value);
  expression_ptr filter(expression_ptr value);  // behind the bar
  expression_ptr test(expression_ptr value);
  expression_ptr subscript(expression_ptr value);
  void arguments(expression& call);

  token_cursor& tokens_;
  std::size_t nesting_ = 0;
};

}  // namespace bq_llm::jinja
