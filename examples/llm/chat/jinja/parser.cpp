#include "chat/jinja/parser.hpp"

#include <algorithm>
#include <initializer_list>

#include "chat/jinja/expression_parser.hpp"
#include "chat/jinja/lexer.hpp"

namespace bq_llm::jinja {
namespace {

constexpr std::size_t most_nesting = 100;

statement make(statement_kind kind, std::size_t line) { return {kind, line, {}, {}, {}, {}, {}, {}, {}}; }

class parser {
 public:
  explicit parser(std::string_view source) : tokens_(tokenized(source)), expressions_(tokens_) {}

  statements run() {
    statements all = body({});
    if (!tokens_.is(token_kind::end)) throw_at(tokens_.peek().line, "an end without a beginning", ending_);
    return all;
  }

 private:
  using words = std::initializer_list<std::string_view>;

  // Statements up to a tag that begins with one of `ends`, whose word is taken and kept in ending_; at the top, up to
  // the end of the template.
  statements body(words ends) {
    if (++nesting_ > most_nesting) throw_at(tokens_.peek().line, "blocks that nest too deep");
    const std::size_t begin = tokens_.peek().line;
    statements all;
    while (!tokens_.is(token_kind::end)) {
      if (tokens_.is(token_kind::block_begin)) {
        tokens_.take();
        if (std::find(ends.begin(), ends.end(), tokens_.peek().text) != ends.end()) {
          ending_ = tokens_.expect_name();
          --nesting_;
          return all;
        }
        all.push_back(block());
      } else if (tokens_.is(token_kind::print_begin)) {
        tokens_.take();
        all.push_back(make(statement_kind::print, tokens_.peek().line));
        all.back().value = expressions_.tuple();
        tokens_.expect(token_kind::print_end, "'}}'");
      } else {
        all.push_back(make(statement_kind::text, tokens_.peek().line));
        all.back().text = tokens_.take().text;
      }
    }
    if (ends.size() > 0) throw_at(begin, "a block without '" + std::string(*(ends.end() - 1)) + "'");
    --nesting_;
    return all;
  }

  void end_tag() { tokens_.expect(token_kind::block_end, "'%}'"); }

  statement block() {
    const std::size_t line = tokens_.peek().line;
    const std::string word = tokens_.expect_name();
    if (word == "if") return branches(line);
    if (word == "for") return loop(line);
    if (word == "set") return set(line);
    if (word == "macro") return macro(line);
    if (word == "generation" || word == "filter") return plain_block(line, word);
    if (word == "break" || word == "continue") {
      if (loops_ == 0) throw_at(line, "outside of a loop", word);
      end_tag();
      return make(word == "break" ? statement_kind::break_loop : statement_kind::continue_loop, line);
    }
    throw_at(line, "a tag that is not supported", word);
  }

  // An elif is an if in `otherwise`, which is built from the last to the first without recursion.
  statement branches(std::size_t line) {
    statements chain;
    statements otherwise;
    for (bool more = true; more;) {
      chain.push_back(make(statement_kind::branches, line));
      chain.back().value = expressions_.single();
      end_tag();
      chain.back().body = body({"elif", "else", "endif"});
      line = tokens_.peek().line;
      more = ending_ == "elif";
      if (chain.size() > most_nesting) throw_at(line, "too many branches");
    }
    if (ending_ == "else") {
      end_tag();
      otherwise = body({"endif"});
    }
    end_tag();
    while (chain.size() > 1) {
      statement last = std::move(chain.back());
      chain.pop_back();
      last.otherwise = std::move(otherwise);
      otherwise.clear();
      otherwise.push_back(std::move(last));
    }
    chain.front().otherwise = std::move(otherwise);
    return std::move(chain.front());
  }

  statement loop(std::size_t line) {
    statement result = make(statement_kind::loop, line);
    result.names = targets();
    if (!tokens_.take_word("in")) throw_at(tokens_.peek().line, "expected 'in'", tokens_.peek().text);
    result.value = expressions_.without_condition();
    if (tokens_.take_word("if")) result.filter = expressions_.single();
    if (tokens_.is_word("recursive")) throw_at(line, "recursive loops are not supported");
    end_tag();
    ++loops_;
    result.body = body({"else", "endfor"});
    --loops_;
    if (ending_ == "else") {
      end_tag();
      result.otherwise = body({"endfor"});
    }
    end_tag();
    return result;
  }

  std::vector<std::string> targets() {
    const bool bracket = tokens_.take_symbol("(");
    std::vector<std::string> names = {tokens_.expect_name()};
    while (tokens_.take_symbol(",")) names.push_back(tokens_.expect_name());
    if (bracket) tokens_.expect_symbol(")");
    return names;
  }

  statement set(std::size_t line) {
    statement result = make(statement_kind::set, line);
    result.names = targets();
    if (tokens_.take_symbol(".")) {
      result.kind = statement_kind::set_member;
      result.names.push_back(tokens_.expect_name());
    }
    if (tokens_.take_symbol("=")) {
      result.value = expressions_.tuple();
      end_tag();
      return result;
    }
    if (result.kind == statement_kind::set_member || result.names.size() > 1) {
      throw_at(line, "expected '='", tokens_.peek().text);
    }
    result.kind = statement_kind::set_block;
    result.value = expressions_.filters();
    end_tag();
    result.body = body({"endset"});
    end_tag();
    return result;
  }

  statement macro(std::size_t line) {
    statement result = make(statement_kind::macro, line);
    result.text = tokens_.expect_name();
    tokens_.expect_symbol("(");
    while (!tokens_.take_symbol(")")) {
      if (!result.names.empty()) tokens_.expect_symbol(",");
      result.names.push_back(tokens_.expect_name());
      if (tokens_.take_symbol("=")) {
        result.defaults.push_back(expressions_.single());
      } else if (!result.defaults.empty()) {
        throw_at(line, "a parameter without a default behind one that has it", result.names.back());
      }
    }
    end_tag();
    const std::size_t loops = std::exchange(loops_, 0);
    result.body = body({"endmacro"});
    loops_ = loops;
    if (tokens_.is(token_kind::name)) tokens_.take();  // {% endmacro name %}
    end_tag();
    return result;
  }

  statement plain_block(std::size_t line, const std::string& word) {
    statement result = make(statement_kind::block, line);
    if (word == "filter") result.value = expressions_.first_filter();
    end_tag();
    const std::string end = "end" + word;
    result.body = body({end});
    end_tag();
    return result;
  }

  token_cursor tokens_;
  expression_parser expressions_;
  std::string ending_;
  std::size_t nesting_ = 0, loops_ = 0;
};

}  // namespace

statements parsed(std::string_view source) { return parser(source).run(); }

}  // namespace bq_llm::jinja
