#include "chat/jinja/expression_parser.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

namespace bq_llm::jinja {
namespace {

constexpr std::size_t most_nesting = 100, most_depth = 300;

expression_ptr make(expression_kind kind, std::size_t line, std::string text = {},
                    std::vector<expression_ptr> parts = {}) {
  std::size_t depth = 1;
  for (const expression_ptr& part : parts) depth = std::max(depth, part ? part->depth + 1 : 1);
  if (depth > most_depth) throw_at(line, "an expression that is too deep");
  return std::make_unique<expression>(expression{kind, line, std::move(text), {}, std::move(parts), {}, depth});
}

template <class... Parts>
std::vector<expression_ptr> parts_of(Parts&&... parts) {
  std::vector<expression_ptr> all;
  (all.push_back(std::forward<Parts>(parts)), ...);
  return all;
}

expression_ptr constant(std::size_t line, value v) {
  expression_ptr made = make(expression_kind::constant, line);
  made->constant = std::move(v);
  return made;
}

std::optional<value> named_constant(std::string_view name) {
  if (name == "true" || name == "True") return value(true);
  if (name == "false" || name == "False") return value(false);
  if (name == "none" || name == "None") return value();
  return std::nullopt;
}

value integer_of(const token& t) {
  std::int64_t number = 0;
  if (std::from_chars(t.text.data(), t.text.data() + t.text.size(), number).ec != std::errc{}) {
    throw_at(t.line, "a number that is too large", t.text);
  }
  return number;
}

value float_of(const token& t) {
  double number = 0;
  if (std::from_chars(t.text.data(), t.text.data() + t.text.size(), number).ec != std::errc{}) {
    throw_at(t.line, "a number out of range", t.text);
  }
  return number;
}

// The operators that one level has, weakest first.
constexpr std::array<std::array<std::string_view, 4>, 5> levels = {{
    {"or"},
    {"and"},
    {"+", "-"},
    {"~"},
    {"*", "/", "//", "%"},
}};
constexpr int level_or = 0, level_and = 1, level_sum = 2, level_count = 5;

class nesting_guard {
 public:
  nesting_guard(std::size_t& count, std::size_t line) : count_(count) {
    if (++count_ > most_nesting) throw_at(line, "an expression that nests too deep");
  }
  ~nesting_guard() { --count_; }
  nesting_guard(const nesting_guard&) = delete;
  nesting_guard& operator=(const nesting_guard&) = delete;

 private:
  std::size_t& count_;
};

}  // namespace

bool token_cursor::next_is_word(std::string_view word) const {
  return at_ + 1 < tokens_.size() && tokens_[at_ + 1].kind == token_kind::name && tokens_[at_ + 1].text == word;
}

bool token_cursor::take_symbol(std::string_view symbol) {
  const bool found = is_symbol(symbol);
  if (found) take();
  return found;
}

bool token_cursor::take_word(std::string_view word) {
  const bool found = is_word(word);
  if (found) take();
  return found;
}

void token_cursor::expect(token_kind kind, std::string_view name) {
  if (!is(kind)) throw_at(peek().line, "expected " + std::string(name), peek().text);
  take();
}

void token_cursor::expect_symbol(std::string_view symbol) {
  if (!take_symbol(symbol)) throw_at(peek().line, "expected '" + std::string(symbol) + "'", peek().text);
}

std::string token_cursor::expect_name() {
  if (!is(token_kind::name)) throw_at(peek().line, "expected a name", peek().text);
  return take().text;
}

expression_ptr expression_parser::tuple() {
  expression_ptr first = single();
  if (!tokens_.is_symbol(",")) return first;
  std::vector<expression_ptr> items = parts_of(std::move(first));
  while (tokens_.take_symbol(",")) {
    const bool ends = tokens_.is(token_kind::block_end) || tokens_.is(token_kind::print_end) ||
                      tokens_.is_symbol(")") || tokens_.is_symbol("]");
    if (ends) break;
    items.push_back(single());
  }
  const std::size_t line = tokens_.peek().line;
  return make(expression_kind::list_literal, line, {}, std::move(items));
}

expression_ptr expression_parser::single() {
  expression_ptr result = without_condition();
  while (tokens_.is_word("if")) {
    const std::size_t line = tokens_.take().line;
    expression_ptr condition = without_condition();
    expression_ptr otherwise = tokens_.take_word("else") ? single() : nullptr;
    result = make(expression_kind::condition, line, {},
                  parts_of(std::move(result), std::move(condition), std::move(otherwise)));
  }
  return result;
}

expression_ptr expression_parser::without_condition() {
  const nesting_guard guard(nesting_, tokens_.peek().line);
  return binary(level_or);
}

expression_ptr expression_parser::binary(int level) {
  if (level == level_count) return power();
  const auto operand = [&] { return level == level_and ? logical_not() : binary(level + 1); };
  expression_ptr left = operand();
  for (;;) {
    const token& t = tokens_.peek();
    const auto& operators = levels[static_cast<std::size_t>(level)];
    const bool here = (t.kind == token_kind::symbol || t.kind == token_kind::name) && !t.text.empty() &&
                      std::find(operators.begin(), operators.end(), t.text) != operators.end();
    if (!here) return left;
    const std::size_t line = t.line;
    const std::string name = tokens_.take().text;
    const auto kind = level == level_or    ? expression_kind::logical_or
                      : level == level_and ? expression_kind::logical_and
                                           : expression_kind::arithmetic;
    left = make(kind, line, name, parts_of(std::move(left), operand()));
  }
}

expression_ptr expression_parser::logical_not() {
  if (!tokens_.is_word("not")) return comparison();
  const nesting_guard guard(nesting_, tokens_.peek().line);
  const std::size_t line = tokens_.take().line;
  return make(expression_kind::logical_not, line, {}, parts_of(logical_not()));
}

// a < b < c means a < b and b < c.
expression_ptr expression_parser::comparison() {
  constexpr std::string_view symbols[] = {"==", "!=", "<=", ">=", "<", ">"};
  expression_ptr left = binary(level_sum);
  for (;;) {
    const token& t = tokens_.peek();
    const bool symbol =
        t.kind == token_kind::symbol && std::find(std::begin(symbols), std::end(symbols), t.text) != std::end(symbols);
    const bool negated = tokens_.is_word("not") && tokens_.next_is_word("in");
    if (!symbol && !negated && !tokens_.is_word("in")) return left;
    const std::size_t line = t.line;
    if (negated) tokens_.take();
    const std::string name = tokens_.take().text;
    left = make(expression_kind::comparison, line, name, parts_of(std::move(left), binary(level_sum)));
    if (negated) left = make(expression_kind::logical_not, line, {}, parts_of(std::move(left)));
  }
}

expression_ptr expression_parser::power() {
  expression_ptr left = unary(true);
  while (tokens_.is_symbol("**")) {
    const std::size_t line = tokens_.take().line;
    left = make(expression_kind::arithmetic, line, "**", parts_of(std::move(left), unary(true)));
  }
  return left;
}

expression_ptr expression_parser::unary(bool with_filters) {
  expression_ptr result;
  if (tokens_.is_symbol("-") || tokens_.is_symbol("+")) {
    const nesting_guard guard(nesting_, tokens_.peek().line);
    const auto kind = tokens_.is_symbol("-") ? expression_kind::negate : expression_kind::plus;
    const std::size_t line = tokens_.take().line;
    result = make(kind, line, {}, parts_of(unary(false)));
  } else {
    result = primary();
  }
  result = postfix(std::move(result));
  return with_filters ? filters_and_tests(std::move(result)) : std::move(result);
}

expression_ptr expression_parser::primary() {
  const token& t = tokens_.take();
  const std::size_t line = t.line;
  switch (t.kind) {
    case token_kind::name:
      if (auto known = named_constant(t.text)) return constant(line, std::move(*known));
      return make(expression_kind::name, line, t.text);
    case token_kind::integer:
      return constant(line, integer_of(t));
    case token_kind::floating:
      return constant(line, float_of(t));
    case token_kind::string: {
      std::string text = t.text;
      while (tokens_.is(token_kind::string)) text += tokens_.take().text;
      return constant(line, std::move(text));
    }
    default:
      break;
  }
  if (t.text == "(") {
    if (tokens_.take_symbol(")")) return make(expression_kind::list_literal, line);
    const nesting_guard guard(nesting_, line);
    expression_ptr inside = tuple();
    tokens_.expect_symbol(")");
    return inside;
  }
  if (t.text == "[") return list_of("]");
  if (t.text == "{") return dict();
  throw_at(line, "expected an expression", t.text);
}

expression_ptr expression_parser::list_of(std::string_view end) {
  const std::size_t line = tokens_.peek().line;
  std::vector<expression_ptr> items;
  while (!tokens_.take_symbol(end)) {
    if (!items.empty()) tokens_.expect_symbol(",");
    if (tokens_.take_symbol(end)) break;
    items.push_back(single());
  }
  return make(expression_kind::list_literal, line, {}, std::move(items));
}

expression_ptr expression_parser::dict() {
  const std::size_t line = tokens_.peek().line;
  std::vector<expression_ptr> items;
  while (!tokens_.take_symbol("}")) {
    if (!items.empty()) tokens_.expect_symbol(",");
    if (tokens_.take_symbol("}")) break;
    items.push_back(single());
    tokens_.expect_symbol(":");
    items.push_back(single());
  }
  return make(expression_kind::dict_literal, line, {}, std::move(items));
}

expression_ptr expression_parser::postfix(expression_ptr result) {
  for (;;) {
    const std::size_t line = tokens_.peek().line;
    if (tokens_.take_symbol(".")) {
      // x.0 is x[0]
      if (tokens_.is(token_kind::integer)) {
        result = make(expression_kind::subscript, line, {},
                      parts_of(std::move(result), constant(line, integer_of(tokens_.take()))));
      } else {
        result = make(expression_kind::attribute, line, tokens_.expect_name(), parts_of(std::move(result)));
      }
    } else if (tokens_.take_symbol("[")) {
      result = subscript(std::move(result));
    } else if (tokens_.take_symbol("(")) {
      result = make(expression_kind::call, line, {}, parts_of(std::move(result)));
      arguments(*result);
    } else {
      return result;
    }
  }
}

expression_ptr expression_parser::subscript(expression_ptr result) {
  const std::size_t line = tokens_.peek().line;
  std::vector<expression_ptr> parts = parts_of(std::move(result));
  bool is_slice = false;
  while (parts.size() < 4) {
    const bool left_out = tokens_.is_symbol(":") || tokens_.is_symbol("]");
    parts.push_back(left_out ? nullptr : single());
    if (!tokens_.take_symbol(":")) break;
    is_slice = true;
  }
  tokens_.expect_symbol("]");
  if (is_slice) {
    parts.resize(4);
  } else if (!parts[1]) {
    throw_at(line, "an empty subscript");
  }
  return make(is_slice ? expression_kind::slice : expression_kind::subscript, line, {}, std::move(parts));
}

// Behind "(".
void expression_parser::arguments(expression& call) {
  bool first = true;
  while (!tokens_.take_symbol(")")) {
    if (!first) tokens_.expect_symbol(",");
    if (tokens_.take_symbol(")")) break;
    first = false;
    if (tokens_.is_symbol("*") || tokens_.is_symbol("**")) {
      throw_at(tokens_.peek().line, "unpacked arguments are not supported", tokens_.peek().text);
    }
    expression_ptr item = single();
    call.depth = std::max(call.depth, item->depth + 1);
    if (item->kind == expression_kind::name && tokens_.take_symbol("=")) {
      const std::string name = item->text;
      item = single();
      call.depth = std::max(call.depth, item->depth + 1);
      call.named.emplace_back(name, std::move(item));
    } else {
      call.parts.push_back(std::move(item));
    }
  }
  if (call.depth > most_depth) throw_at(call.line, "an expression that is too deep");
}

expression_ptr expression_parser::filters_and_tests(expression_ptr result) {
  for (;;) {
    if (tokens_.take_symbol("|")) {
      result = filter(std::move(result));
    } else if (tokens_.is_word("is")) {
      result = test(std::move(result));
    } else if (tokens_.is_symbol("(")) {
      result = postfix(std::move(result));
    } else {
      return result;
    }
  }
}

expression_ptr expression_parser::filters() { return tokens_.take_symbol("|") ? first_filter() : nullptr; }

expression_ptr expression_parser::first_filter() {
  expression_ptr result = filter(nullptr);
  while (tokens_.take_symbol("|")) result = filter(std::move(result));
  return result;
}

expression_ptr expression_parser::filter(expression_ptr input) {
  const std::size_t line = tokens_.peek().line;
  expression_ptr result = make(expression_kind::filter, line, tokens_.expect_name(), parts_of(std::move(input)));
  if (tokens_.take_symbol("(")) arguments(*result);
  return result;
}

expression_ptr expression_parser::test(expression_ptr input) {
  const std::size_t line = tokens_.take().line;
  const bool negated = tokens_.take_word("not");
  expression_ptr result = make(expression_kind::test, line, tokens_.expect_name(), parts_of(std::move(input)));
  constexpr std::string_view words[] = {"else", "or", "and", "is", "if", "in", "not"};
  const token& t = tokens_.peek();
  const bool bare_argument =
      t.kind == token_kind::string || t.kind == token_kind::integer || t.kind == token_kind::floating ||
      (t.kind == token_kind::name && std::find(std::begin(words), std::end(words), t.text) == std::end(words)) ||
      tokens_.is_symbol("[") || tokens_.is_symbol("{");
  if (tokens_.take_symbol("(")) {
    arguments(*result);
  } else if (bare_argument) {
    expression_ptr argument = postfix(primary());
    result->depth = std::max(result->depth, argument->depth + 1);
    result->parts.push_back(std::move(argument));
  }
  return negated ? make(expression_kind::logical_not, line, {}, parts_of(std::move(result))) : std::move(result);
}

}  // namespace bq_llm::jinja
