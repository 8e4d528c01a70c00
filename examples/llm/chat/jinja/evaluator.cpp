#include "chat/jinja/evaluator.hpp"

#include <algorithm>
#include <blockquant/error.hpp>
#include <stdexcept>

#include "chat/jinja/builtins.hpp"
#include "chat/jinja/lexer.hpp"

namespace bq_llm::jinja {
namespace {

constexpr std::size_t most_depth = 400;       // of evaluations inside evaluations
constexpr std::size_t base_work = 5'000'000;  // steps and bytes, for any input
constexpr std::size_t work_per_input = 100;   // and for each of its bytes and values

enum class flow { next, breaks, continues };

class evaluator {
 public:
  explicit evaluator(entries variables) : scopes_{global_functions(), std::move(variables)} {
    for (const auto& [name, item] : scopes_[1]) work_left_ += work_per_input * item.size().weight;
  }

  std::string run(const statements& program) {
    std::string out;
    execute(program, out);
    return out;
  }

 private:
  class depth_guard {
   public:
    depth_guard(evaluator& e, std::size_t line) : depth_(e.depth_) {
      if (++depth_ > most_depth) {
        --depth_;
        throw_at(line, "recursion that is too deep");
      }
    }
    ~depth_guard() { --depth_; }
    depth_guard(const depth_guard&) = delete;
    depth_guard& operator=(const depth_guard&) = delete;

   private:
    std::size_t& depth_;
  };

  void charge(std::size_t work, std::size_t line) {
    if (work > work_left_) throw_at(line, "a template that does too much");
    work_left_ -= work;
  }

  // Calls what throws std exceptions without a line.
  template <class Call>
  auto at_line(std::size_t line, const Call& call) {
    try {
      return call();
    } catch (const bq::error&) {
      throw;
    } catch (const std::invalid_argument& e) {
      throw_at(line, e.what());
    } catch (const std::length_error& e) {
      throw_at(line, e.what());
    }
  }

  // Names.

  const value* lookup(std::string_view name) const {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      if (const value* found = find(*scope, name)) return found;
    }
    return nullptr;
  }
  static const value* find(const entries& scope, std::string_view name) {
    const auto found =
        std::find_if(scope.begin(), scope.end(), [&](const auto& item) { return *item.first.as_string() == name; });
    return found == scope.end() ? nullptr : &found->second;
  }
  void define(const std::string& name, value v) { assign(scopes_.back(), name, std::move(v)); }

  // One name takes the value, several take its items.
  void define_all(const std::vector<std::string>& names, const value& v, std::size_t line) {
    if (names.size() == 1) return define(names[0], v);
    const list items = at_line(line, [&] { return items_of(v); });
    if (items.size() != names.size()) throw_at(line, "as many values as names are needed");
    for (std::size_t i = 0; i < names.size(); ++i) define(names[i], items[i]);
  }

  // Statements.

  flow execute(const statements& all, std::string& out) {
    for (const statement& each : all) {
      if (const flow result = execute(each, out); result != flow::next) return result;
    }
    return flow::next;
  }

  flow execute(const statement& s, std::string& out) {
    const depth_guard guard(*this, s.line);
    charge(1, s.line);
    switch (s.kind) {
      case statement_kind::text:
        write(s.text, out, s.line);
        break;
      case statement_kind::print: {
        const value v = evaluate(*s.value);
        charge(v.size().weight, s.line);
        write(printed(v), out, s.line);
        break;
      }
      case statement_kind::branches:
        return execute(evaluate(*s.value).truthy() ? s.body : s.otherwise, out);
      case statement_kind::loop:
        return loop(s, out);
      case statement_kind::set:
        define_all(s.names, evaluate(*s.value), s.line);
        break;
      case statement_kind::set_member:
        set_member(s);
        break;
      case statement_kind::set_block: {
        std::string text;
        const flow result = execute(s.body, text);
        define(s.names[0], s.value ? filtered(*s.value, text) : value(text));
        return result;
      }
      case statement_kind::macro:
        define(s.text, macro(s));
        break;
      case statement_kind::block: {
        if (!s.value) return execute(s.body, out);
        std::string text;
        const flow result = execute(s.body, text);
        write(printed(filtered(*s.value, text)), out, s.line);
        return result;
      }
      case statement_kind::break_loop:
        return flow::breaks;
      case statement_kind::continue_loop:
        return flow::continues;
    }
    return flow::next;
  }

  void write(const std::string& text, std::string& out, std::size_t line) {
    charge(text.size(), line);
    out += text;
    at_line(line, [&] { require_room(out.size(), 1); });
  }

  void set_member(const statement& s) {
    value v = evaluate(*s.value);
    const value* target = lookup(s.names[0]);
    if (!target || !target->as_namespace()) throw_at(s.line, "a member can be set of a namespace only", s.names[0]);
    // A list of it checks that it may be inside another value.
    at_line(s.line, [&] { return value(list{v}); });
    charge(target->as_namespace()->items.size(), s.line);
    assign(target->as_namespace()->items, s.names[1], std::move(v));
  }

  flow loop(const statement& s, std::string& out) {
    list items = at_line(s.line, [&, v = evaluate(*s.value)] { return items_of(v); });
    charge(items.size(), s.line);
    if (s.filter) {
      list kept;
      scopes_.emplace_back();
      for (const value& item : items) {
        define_all(s.names, item, s.line);
        if (evaluate(*s.filter).truthy()) kept.push_back(item);
      }
      scopes_.pop_back();
      items = std::move(kept);
    }
    if (items.empty()) return execute(s.otherwise, out);
    const std::size_t outside = scopes_.size();
    for (std::size_t i = 0; i < items.size(); ++i) {
      scopes_.resize(outside);
      scopes_.emplace_back();
      define("loop", loop_variable(items, i));
      define_all(s.names, items[i], s.line);
      if (execute(s.body, out) == flow::breaks) break;
    }
    scopes_.resize(outside);
    return flow::next;
  }

  static value loop_variable(const list& items, std::size_t i) {
    const auto integer = [](std::size_t n) { return value(static_cast<std::int64_t>(n)); };
    // A namespace, so that large items beside this one are not weighed anew for every one.
    auto loop = std::make_shared<name_space>();
    loop->items = {{"index", integer(i + 1)},
                   {"index0", integer(i)},
                   {"revindex", integer(items.size() - i)},
                   {"revindex0", integer(items.size() - i - 1)},
                   {"first", i == 0},
                   {"last", i + 1 == items.size()},
                   {"length", integer(items.size())},
                   {"previtem", i > 0 ? items[i - 1] : value(undefined{"previtem"})},
                   {"nextitem", i + 1 < items.size() ? items[i + 1] : value(undefined{"nextitem"})},
                   {"cycle", value(function([i](const arguments& given) {
                      if (given.placed.empty()) throw std::invalid_argument("a cycle of nothing");
                      return given.placed[i % given.placed.size()];
                    }))}};
    return loop;
  }

  // A macro sees the template's own variables and its parameters.
  value macro(const statement& s) {
    return function([this, &s](const arguments& given) -> value {
      std::vector<const value*> values(s.names.size());
      const std::vector<std::string_view> names(s.names.begin(), s.names.end());
      bind_arguments(given, names, values);
      const std::size_t without_default = s.names.size() - s.defaults.size();
      entries scope;
      for (std::size_t i = 0; i < s.names.size(); ++i) {
        scope.emplace_back(s.names[i], values[i]              ? *values[i]
                                       : i >= without_default ? evaluate(*s.defaults[i - without_default])
                                                              : value(undefined{s.names[i]}));
      }
      std::vector<entries> inside = {scopes_[0], scopes_[1], std::move(scope)};
      std::swap(scopes_, inside);
      std::string out;
      execute(s.body, out);
      scopes_ = std::move(inside);
      return out;
    });
  }

  // Expressions.

  value evaluate(const expression& e) {
    const depth_guard guard(*this, e.line);
    charge(1, e.line);
    value result = at_line(e.line, [&] { return computed(e); });
    if (result.as_string()) charge(result.as_string()->size() / 16, e.line);
    return result;
  }

  value optional(const expression_ptr& e) { return e ? evaluate(*e) : value(); }

  value computed(const expression& e) {
    const auto part = [&](std::size_t i) { return evaluate(*e.parts[i]); };
    switch (e.kind) {
      case expression_kind::constant:
        return e.constant;
      case expression_kind::name: {
        const value* found = lookup(e.text);
        return found ? *found : value(undefined{e.text});
      }
      case expression_kind::list_literal: {
        list items;
        for (const expression_ptr& each : e.parts) items.push_back(evaluate(*each));
        return items;
      }
      case expression_kind::dict_literal: {
        entries items;
        for (std::size_t i = 0; i < e.parts.size(); i += 2) {
          charge(items.size(), e.line);
          assign(items, part(i), part(i + 1));
        }
        return items;
      }
      case expression_kind::attribute:
        return attribute_of(part(0), e.text);
      case expression_kind::subscript:
        return subscript_of(part(0), part(1));
      case expression_kind::slice: {
        const value of = part(0);
        charge(of.size().weight, e.line);
        return slice_of(of, optional(e.parts[1]), optional(e.parts[2]), optional(e.parts[3]));
      }
      case expression_kind::call:
        return call(e);
      case expression_kind::filter:
        return filtered(e, {});
      case expression_kind::test:
        return tested(e);
      case expression_kind::negate:
        return arithmetic("-", std::int64_t{0}, part(0));
      case expression_kind::plus:
        return arithmetic("+", std::int64_t{0}, part(0));
      case expression_kind::logical_not:
        return !part(0).truthy();
      case expression_kind::logical_and: {
        value left = part(0);
        return left.truthy() ? part(1) : left;
      }
      case expression_kind::logical_or: {
        value left = part(0);
        return left.truthy() ? left : part(1);
      }
      case expression_kind::arithmetic: {
        const value left = part(0), right = part(1);
        charge(left.size().weight + right.size().weight, e.line);
        value result = arithmetic(e.text, left, right);
        charge(result.size().weight, e.line);
        return result;
      }
      case expression_kind::comparison: {
        const value left = part(0), right = part(1);
        charge(std::min(left.size().weight, right.size().weight) + (e.text == "in" ? right.size().weight : 0), e.line);
        return compare(e.text, left, right);
      }
      case expression_kind::condition:
        if (part(1).truthy()) return part(0);
        return e.parts[2] ? part(2) : value(undefined{"the other value of an if"});
    }
    return {};
  }

  // Of parts[first..] and the named ones.
  arguments arguments_of(const expression& e, std::size_t first) {
    arguments given;
    for (std::size_t i = first; i < e.parts.size(); ++i) given.placed.push_back(evaluate(*e.parts[i]));
    for (const auto& [name, item] : e.named) given.named.emplace_back(name, evaluate(*item));
    for (const value& each : given.placed) charge(each.size().weight / 8, e.line);
    return given;
  }

  value call(const expression& e) {
    const expression& target = *e.parts[0];
    const bool is_member = target.kind == expression_kind::attribute;
    const value of = is_member ? evaluate(*target.parts[0]) : value();
    const value called = is_member ? attribute_of(of, target.text) : evaluate(target);
    const arguments given = arguments_of(e, 1);
    if (!called.as_function()) {
      throw std::invalid_argument(called.as_undefined() ? "'" + called.as_undefined()->name + "' is undefined"
                                                        : "a " + std::string(called.type_name()) + " is no function");
    }
    charge(of.size().weight, e.line);
    value result = (*called.as_function())(given);
    charge(result.size().weight, e.line);
    return result;
  }

  // A chain of filters, whose innermost input is `innermost` where the chain has none of its own.
  value filtered(const expression& e, const value& innermost) {
    const value input = !e.parts[0]                                   ? innermost
                        : e.parts[0]->kind == expression_kind::filter ? filtered(*e.parts[0], innermost)
                                                                      : evaluate(*e.parts[0]);
    const filter apply = find_filter(e.text);
    if (!apply) throw_at(e.line, "a filter that is not supported", e.text);
    const arguments given = arguments_of(e, 1);
    charge(input.size().weight, e.line);
    value result = at_line(e.line, [&] { return apply(input, given); });
    charge(result.size().weight, e.line);
    return result;
  }

  bool tested(const expression& e) {
    const test holds = find_test(e.text);
    if (!holds) throw_at(e.line, "a test that is not supported", e.text);
    const value input = evaluate(*e.parts[0]);
    return holds(input, arguments_of(e, 1));
  }

  std::vector<entries> scopes_;  // built-in functions, the template's variables, then loops inside loops
  std::size_t depth_ = 0, work_left_ = base_work;
};

}  // namespace

std::string rendered(const statements& program, entries variables) {
  return evaluator(std::move(variables)).run(program);
}

}  // namespace bq_llm::jinja
