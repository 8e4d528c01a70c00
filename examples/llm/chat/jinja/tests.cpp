// Jinja's tests: x is NAME.
#include <algorithm>
#include <cctype>
#include <stdexcept>

#include "chat/jinja/builtins.hpp"

namespace bq_llm::jinja {
namespace {

const value& operand(const arguments& given) {
  const auto [other] = bound<1>(given, {"other"});
  if (!other) throw std::invalid_argument("a test without its argument");
  return *other;
}

bool is_sequence(const value& v) { return v.as_list() || v.as_dict() || v.as_string(); }

bool has_case(const value& v, std::string_view method) {
  return method_of(printed(v), method).as_function()->operator()({}).truthy();
}

bool remainder_is(const value& v, std::int64_t divisor, std::int64_t remainder) {
  return equal(arithmetic("%", v, divisor), remainder);
}

template <int Symbol>
bool compared(const value& v, const arguments& given) {
  constexpr std::string_view symbols[] = {"==", "!=", "<", "<=", ">", ">=", "in"};
  return compare(symbols[Symbol], v, operand(given));
}

struct named_test {
  std::string_view name;
  test call;
};
constexpr named_test tests[] = {
    {"defined", [](const value& v, const arguments&) { return !v.is_undefined(); }},
    {"undefined", [](const value& v, const arguments&) { return v.is_undefined(); }},
    {"none", [](const value& v, const arguments&) { return v.is_none(); }},
    {"string", [](const value& v, const arguments&) { return v.as_string() != nullptr; }},
    {"number", [](const value& v, const arguments&) { return v.is_number(); }},
    {"integer", [](const value& v, const arguments&) { return v.is_integer(); }},
    {"float", [](const value& v, const arguments&) { return v.as_double() != nullptr; }},
    {"boolean", [](const value& v, const arguments&) { return v.as_bool() != nullptr; }},
    {"true", [](const value& v, const arguments&) { return v.as_bool() && *v.as_bool(); }},
    {"false", [](const value& v, const arguments&) { return v.as_bool() && !*v.as_bool(); }},
    {"mapping", [](const value& v, const arguments&) { return v.as_dict() != nullptr; }},
    {"sequence", [](const value& v, const arguments&) { return is_sequence(v) || v.is_undefined(); }},
    {"iterable", [](const value& v, const arguments&) { return is_sequence(v) || v.is_undefined(); }},
    {"callable", [](const value& v, const arguments&) { return v.as_function() != nullptr; }},
    {"odd", [](const value& v, const arguments&) { return remainder_is(v, 2, 1); }},
    {"even", [](const value& v, const arguments&) { return remainder_is(v, 2, 0); }},
    {"divisibleby", [](const value& v, const arguments& a) { return remainder_is(v, integer_of(operand(a)), 0); }},
    {"upper", [](const value& v, const arguments&) { return has_case(v, "isupper"); }},
    {"lower", [](const value& v, const arguments&) { return has_case(v, "islower"); }},
    {"filter", [](const value& v, const arguments&) { return find_filter(text_of(v)) != nullptr; }},
    {"test", [](const value& v, const arguments&) { return find_test(text_of(v)) != nullptr; }},
    {"==", compared<0>},
    {"eq", compared<0>},
    {"equalto", compared<0>},
    {"!=", compared<1>},
    {"ne", compared<1>},
    {"<", compared<2>},
    {"lt", compared<2>},
    {"lessthan", compared<2>},
    {"<=", compared<3>},
    {"le", compared<3>},
    {">", compared<4>},
    {"gt", compared<4>},
    {"greaterthan", compared<4>},
    {">=", compared<5>},
    {"ge", compared<5>},
    {"in", compared<6>},
};

}  // namespace

test find_test(std::string_view name) {
  const auto* found = std::find_if(std::begin(tests), std::end(tests), [&](const auto& t) { return t.name == name; });
  return found == std::end(tests) ? nullptr : found->call;
}

}  // namespace bq_llm::jinja
