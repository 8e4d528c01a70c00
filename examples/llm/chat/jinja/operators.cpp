// Operators of templates: Python's, with integers of 64 bits, whose overflow is an error.
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <stdexcept>

#include "chat/jinja/builtins.hpp"

namespace bq_llm::jinja {
namespace {

using integer = std::int64_t;

[[noreturn]] void throw_overflow() { throw std::invalid_argument("an integer that does not fit 64 bits"); }

// Rounded down, as Python divides.
integer floor_divided(integer a, integer b) {
  if (b == -1) {
    if (a == std::numeric_limits<integer>::min()) throw_overflow();
    return -a;
  }
  return a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
}

integer power(integer base, integer exponent) {
  integer result = 1;
  for (; exponent > 0; --exponent) {
    if (__builtin_mul_overflow(result, base, &result)) throw_overflow();
    if (result == base && (base == 0 || base == 1)) return base;
    if (base == -1) return exponent % 2 == 0 ? 1 : -1;
  }
  return result;
}

value of_integers(std::string_view symbol, integer a, integer b) {
  integer result = 0;
  if (symbol == "+" && !__builtin_add_overflow(a, b, &result)) return result;
  if (symbol == "-" && !__builtin_sub_overflow(a, b, &result)) return result;
  if (symbol == "*" && !__builtin_mul_overflow(a, b, &result)) return result;
  if (symbol == "**")
    return b < 0 ? value(std::pow(static_cast<double>(a), static_cast<double>(b))) : value(power(a, b));
  if (symbol == "+" || symbol == "-" || symbol == "*") throw_overflow();
  if (b == 0) throw std::invalid_argument("division by zero");
  if (symbol == "/") return static_cast<double>(a) / static_cast<double>(b);
  if (symbol == "//") return floor_divided(a, b);
  return b == -1 ? integer{0} : a - floor_divided(a, b) * b;
}

value of_floats(std::string_view symbol, double a, double b) {
  if (symbol == "+") return a + b;
  if (symbol == "-") return a - b;
  if (symbol == "*") return a * b;
  if (symbol == "**") return std::pow(a, b);
  if (b == 0) throw std::invalid_argument("division by zero");
  if (symbol == "/") return a / b;
  return symbol == "//" ? std::floor(a / b) : a - std::floor(a / b) * b;
}

value repeated(const value& v, integer times) {
  const auto count = static_cast<std::size_t>(std::max<integer>(times, 0));
  require_room(v.size().weight, count);
  if (v.as_string()) {
    std::string out;
    for (std::size_t i = 0; i < count; ++i) out += *v.as_string();
    return out;
  }
  list out;
  for (std::size_t i = 0; i < count; ++i) out.insert(out.end(), v.as_list()->begin(), v.as_list()->end());
  return out;
}

bool contains(const value& whole, const value& part) {
  if (whole.as_string()) return whole.as_string()->find(text_of(part)) != std::string::npos;
  if (whole.as_dict()) return find(*whole.as_dict(), part) != nullptr;
  const list items = items_of(whole);
  return std::any_of(items.begin(), items.end(), [&](const value& item) { return equal(item, part); });
}

}  // namespace

value arithmetic(std::string_view symbol, const value& left, const value& right) {
  if (symbol == "~") {
    std::string out = printed(left) + printed(right);
    require_room(out.size(), 1);
    return out;
  }
  if (left.is_number() && right.is_number()) {
    return left.as_double() || right.as_double() ? of_floats(symbol, left.number(), right.number())
                                                 : of_integers(symbol, left.integer(), right.integer());
  }
  if (symbol == "+" && left.as_string() && right.as_string()) {
    require_room(left.as_string()->size() + right.as_string()->size(), 1);
    return *left.as_string() + *right.as_string();
  }
  if (symbol == "+" && left.as_list() && right.as_list()) {
    list out = *left.as_list();
    out.insert(out.end(), right.as_list()->begin(), right.as_list()->end());
    return out;
  }
  if (symbol == "*" && (left.as_string() || left.as_list()) && right.is_integer())
    return repeated(left, right.integer());
  if (symbol == "*" && (right.as_string() || right.as_list()) && left.is_integer())
    return repeated(right, left.integer());
  for (const value* side : {&left, &right}) {
    if (side->as_undefined()) throw std::invalid_argument("'" + side->as_undefined()->name + "' is undefined");
  }
  throw std::invalid_argument("no " + std::string(symbol) + " of " + std::string(left.type_name()) + " and " +
                              std::string(right.type_name()));
}

bool compare(std::string_view symbol, const value& left, const value& right) {
  if (symbol == "==") return equal(left, right);
  if (symbol == "!=") return !equal(left, right);
  if (symbol == "in") return contains(right, left);
  if (symbol == "<") return less(left, right);
  if (symbol == ">") return less(right, left);
  return symbol == "<=" ? less(left, right) || equal(left, right) : less(right, left) || equal(left, right);
}

}  // namespace bq_llm::jinja
